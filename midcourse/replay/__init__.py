"""Replay: a fresh run that is fed a journal and applies each command at its recorded step.

`export` writes a run's journal as a file, `file` reads one, `finding` gets it from wherever it is,
and `Replay` feeds it to a run. Nothing here imports torch: the tracker keeps the journal, too.
"""
