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


@dataclass(frozen=True)
class RunSpec:
    """One start of a run's trainer."""

    run_id: str
    attempt: int
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    """All of it. Holds the run's token, so it is not shown."""
    folder: Path
    """The working directory."""
    console: Path
    """Where standard output and error go, behind what is there."""


@dataclass(frozen=True)
class LaunchStatus:
    """What has become of a trainer."""

    running: bool
    exit_code: int | None = None
    """Negative for a signal; None while it runs, and where nobody can know any more."""


class Launcher(Protocol):
    """Starts trainers and tells what became of them."""

    name: str

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
