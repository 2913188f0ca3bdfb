"""The tracker: a process beside each run that shows the run's log in Weights & Biases.

The training process never calls W&B: an outage, a slow disk or a bug there cannot touch a step. The
tracker only reads the run log, so it can die, hang or run later, and nothing that was logged is
lost. Nothing here imports torch, and what imports wandb is loaded by processes of their own alone:
the tracker, fetches, and the reader of pages.
"""
