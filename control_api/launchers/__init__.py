"""Launchers: what starts trainers. One file for each; `base` says what they have in common."""
