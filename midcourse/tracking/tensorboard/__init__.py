"""Runs as TensorBoard's event files, written from their logs, and TensorBoard on them.

The same rows that W&B is sent, by the same follower: names, steps and first values are the same.
Nothing here imports torch or wandb, and `tensorboard` need not be installed for anything else.
"""
