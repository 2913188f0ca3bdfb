"""The tracker: a process beside each run that shows the run's log in Weights & Biases.

The training process never calls W&B: an outage, a slow disk or a bug there cannot touch a step. The
tracker only reads the run log, so it can die, hang or run later, and nothing that was logged is
lost. Nothing here imports torch, and only `wandb_tracker` and `wandb_media` import wandb.
"""
