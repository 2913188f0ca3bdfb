"""What every part of Midcourse agrees on: commands, receipts, live parameters, records, names.

Plain pydantic models and paths; no torch, no wandb, no flask, no input or output but JSON text.
Everything that crosses a process boundary (API, link, journal, run log, manifest) is defined here
and nowhere else, so that two programs that import the contract cannot disagree about a word.
"""
