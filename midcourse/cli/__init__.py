"""The `midcourse` command: a client of the control API for people and scripts.

A command is a module that is loaded when it is used: `midcourse --help` and completion load none.
Nothing here knows torch, wandb or the control API's own code.
"""

from midcourse.cli.entry import main

__all__ = ["main"]
