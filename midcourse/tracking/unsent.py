"""Which runs of a home are not all in W&B yet, and in which order they are to be sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from midcourse.contract.runs import TrackingStatus
from midcourse.tracking.home import HomeRun, began, is_held
from midcourse.tracking.settings import TrackingMode
from midcourse.tracking.status import read_status


class Sending(StrEnum):
    """What is to be done about a run."""

    DUE = "due"
    """Something is to be sent, or it is not known that all is there."""
    SENT = "sent"
    """All of it was sent."""
    DISABLED = "disabled"
    """It was tracked nowhere, as it was told to be."""
    BUSY = "busy"
    """It is being trained, or its own tracker is at work: that one sends it."""
    EMPTY = "empty"
    """Its log says nothing yet."""


@dataclass(frozen=True)
class Backlog:
    """How far a run has come to W&B."""

    run: HomeRun
    sending: Sending
    status: TrackingStatus | None
    """As its last tracker told; None where there was none, or where it told of another server."""
    log_bytes: int
    """Of its log in all."""

    @property
    def bytes_left(self) -> int:
        """Of its log; all of it where it went into an offline folder, which is not W&B."""
        if self.status is None or self.status.mode != TrackingMode.ONLINE:
            return self.log_bytes
        return max(self.log_bytes - self.status.log_offset, 0)

    @property
    def rows_left(self) -> int | None:
        """As its last online tracker counted them; None: not known."""
        if self.status is None or self.status.mode != TrackingMode.ONLINE:
            return None
        return self.status.left


def look(run: HomeRun, server: str) -> Backlog:
    """See how far a run has come.

    Args:
        run: which.
        server: the W&B server that is meant; what another one has is not there.
    """
    status = read_status(run.paths)
    if status is not None and not is_told_of(status, server):
        status = None
    try:
        size = run.paths.run_log.stat().st_size
    except OSError:
        size = 0
    return Backlog(run, _sending(run, status, size), status, size)


def _sending(run: HomeRun, status: TrackingStatus | None, size: int) -> Sending:
    if is_held(run.paths.lock) or is_held(run.paths.tracking / "lock"):
        return Sending.BUSY
    if size == 0:
        return Sending.EMPTY
    if status is None:
        return Sending.DUE
    if status.mode == TrackingMode.DISABLED:
        return Sending.DISABLED
    return Sending.SENT if is_sent(status, size) else Sending.DUE


def is_told_of(status: TrackingStatus, server: str) -> bool:
    """Whether a status is of this server; one that names none counts as such."""
    return status.server in (None, server)


def is_sent(status: TrackingStatus | None, log_bytes: int) -> bool:
    """Whether a tracker says that all of a log of this size is in W&B."""
    return (
        status is not None
        and status.mode == TrackingMode.ONLINE
        and status.state == "finished"
        and status.log_offset >= log_bytes
        and not status.left
    )


def in_order(runs: Iterable[HomeRun]) -> list[HomeRun]:
    """The oldest first, and no fork before its parent: so that it can be linked to that."""
    waiting: Sequence[HomeRun] = sorted(runs, key=lambda run: (began(run) or 0.0, run.id))
    by_id = {run.id: run for run in waiting}
    ordered: dict[str, HomeRun] = {}
    for run in waiting:
        line = [run]
        while (origin := line[-1].run.origin) and (parent := by_id.get(origin.run)):
            if parent in line:  # files that say so were made by hand
                break
            line.append(parent)
        for each in reversed(line):
            ordered.setdefault(each.id, each)
    return list(ordered.values())
