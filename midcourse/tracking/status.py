"""`tracking/status.json`: what people, the heartbeat and a later tracker know of this one."""

from typing import Any

from pydantic import ValidationError

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import TrackingStatus

_MOST_NOTES = 5


def read_status(paths: RunPaths) -> TrackingStatus | None:
    """The last status written; None where there is none yet, or none that can be read."""
    try:
        return TrackingStatus.model_validate_json(paths.tracking_status.read_bytes())
    except (OSError, ValidationError):
        return None


def write_status(paths: RunPaths, status: TrackingStatus) -> None:
    """Put a status in place of the last one, whole or not at all."""
    paths.tracking.mkdir(parents=True, exist_ok=True)
    fresh = paths.tracking_status.with_suffix(".new")
    fresh.write_text(status.to_json() + "\n")
    fresh.replace(paths.tracking_status)


class StatusBoard:
    """The tracker's own status; writes when something changed."""

    def __init__(self, paths: RunPaths, mode: str) -> None:
        self._paths = paths
        self._notes: list[str] = []
        self._status = TrackingStatus(mode=mode)
        self._written: TrackingStatus | None = None

    @property
    def status(self) -> TrackingStatus:
        """As it stands."""
        return self._status

    def note(self, sentence: str) -> None:
        """Tell people something; the first few sentences are kept."""
        if sentence not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(sentence)
            self.show(error="; ".join(self._notes))

    def show(self, **changes: Any) -> None:
        """Change the status and write it."""
        self._status = self._status.model_copy(update=changes)
        if self._status != self._written:
            write_status(self._paths, self._status)
            self._written = self._status
