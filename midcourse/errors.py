"""What can go wrong in the plugin. Each class says what happened; the message says to what."""

from midcourse.contract.errors import Fault, InvalidInput, MidcourseError

__all__ = [
    "CheckpointUnusable",
    "CommandRejected",
    "Fault",
    "Interrupted",
    "InvalidInput",
    "JournalUnusable",
    "MidcourseError",
    "PlaceLost",
    "RunBusy",
    "RunEnded",
    "StateUnsupported",
    "Suspended",
]


class RunBusy(MidcourseError):
    """Another process is training this run."""


class RunEnded(MidcourseError):
    """The run has ended for good; a fork can go on from its checkpoints."""


class PlaceLost(MidcourseError):
    """The control API gave this run to another process; this one must leave it alone."""


class JournalUnusable(MidcourseError):
    """The journal cannot be read or does not fit the checkpoints."""


class CheckpointUnusable(MidcourseError):
    """A checkpoint is missing, torn, altered, or does not fit the program's objects."""


class StateUnsupported(MidcourseError):
    """A tracked object's state holds something that a checkpoint cannot keep."""


class CommandRejected(MidcourseError):
    """A command is not acceptable now; nothing was changed."""

    def __init__(self, reason: str, faults: list[Fault] | None = None) -> None:
        self.faults = faults or []
        super().__init__(reason)


class Interrupted(SystemExit):
    """The process was asked to end; a checkpoint was written, and the run can go on later.

    Its code is 128 plus the signal's number, as shells have it.
    """


class Suspended(Interrupted):
    """The run was told to make room; a checkpoint was written, and the run can go on later.

    Its code is 0: all is as was asked for.
    """
