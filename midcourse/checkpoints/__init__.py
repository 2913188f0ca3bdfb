"""Checkpoints: capture at the step boundary, writing outside the process, verified loading.

State is tensors and plain data only; nothing in a checkpoint is ever executed. A folder is a
checkpoint once it has its final name, which it gets last, after everything in it is on the disk.
"""
