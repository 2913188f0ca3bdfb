"""What the reconciler asks of whatever starts trainers: no more than it uses.

No engine guarantees that a trainer is dead when it says so; the attempt's number, which the link
checks, and the run's lock keep a survivor from writing beside its successor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Handle = dict[str, Any]
"""How a launcher knows a trainer again, after a restart of the API too: plain JSON."""


class LaunchFailed(Exception):
    """The trainer could not be started; the text says why."""

    def __init__(self, why: str, *, may_pass: bool = False) -> None:
        super().__init__(why)
        self.may_pass = may_pass
        """Another try may succeed: the machine is short of something."""


class LauncherUnreachable(Exception):
    """Whoever runs the trainers does not answer: nothing is known of them, and they may train on.

    The text says who, and why.
    """


@dataclass(frozen=True)
class RunSpec:
    """One start of a run's trainer."""

    run_id: str
    experiment: str
    attempt: int
    slot: str
    """The place that it trains in, such as `gpu:1`."""
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    """All of it. Holds the run's token, so it is not shown."""
    folder: Path
    """The working directory, for a launcher that starts processes of this machine."""
    console: Path
    """Where standard output and error go, behind what is there."""
    image: str | None = None
    """The container image that the run brings; None: the usual one."""


@dataclass(frozen=True)
class LaunchStatus:
    """What has become of a trainer."""

    running: bool
    exit_code: int | None = None
    """Negative for a signal; None while it runs, and where nobody can know any more."""
    why: str | None = None
    """What the exit code does not tell, for people: it ran out of memory."""


@dataclass(frozen=True)
class Remains:
    """A trainer that a launcher still has something of, running or not."""

    run_id: str
    """The run that it was started for, which a revert may have left."""
    handle: Handle


class Launcher(Protocol):
    """Starts trainers and tells what became of them."""

    name: str
    start_seconds: float
    """How long `submit` may take: so long, whoever cannot `find` a trainer must wait for it."""

    def submit(self, spec: RunSpec) -> Handle:
        """Start a trainer, or find the one that was started before for this attempt of this run.

        Raises:
            LaunchFailed: it did not start.
        """

    def find(self, run_id: str, attempt: int) -> Handle | None:
        """The trainer of an attempt whose handle was lost: the API died right after the start."""

    def status(self, handle: Handle) -> LaunchStatus:
        """Whether it still runs, and how it ended."""

    def stop(self, handle: Handle, *, force: bool = False) -> None:
        """Ask a trainer to end; `force` does not ask. Nothing happens where it has ended."""

    def forget(self, handle: Handle) -> None:
        """Let go of what is left of a trainer whose end has been noted; one that runs is killed."""

    def look(self) -> list[Remains]:
        """Take stock, once a round: what `status` says may be as old as this.

        Returns:
            What there is to `forget`, one day; empty where nothing of an ended trainer is left.

        Raises:
            LauncherUnreachable: as may all other methods, with nothing done, or all of it.
        """

    def lacks(self) -> str | None:
        """What is missing that any trainer would need to start, for people; None: nothing."""
