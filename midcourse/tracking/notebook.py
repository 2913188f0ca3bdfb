"""What trackers of a run have told people, remembered from one to the next."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from midcourse.contract.base import Record, utc_now
from midcourse.contract.runs import RunLabels
from midcourse.tracking.alerts import Alert

OLD_NEWS: Final = timedelta(hours=1)
"""Nobody is alerted of what happened longer ago: a log is also sent weeks later."""


class _Page(Record):
    alerts: list[str] = Field(default_factory=list)
    labels: RunLabels = RunLabels()


class Notebook:
    """`tracking/told.json`, written whole each time. One that cannot be read begins anew.

    Thread-safe: alerts come from the thread that reads the log, labels from that of errands.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._page = _read(path)

    def is_news(self, alert: Alert) -> bool:
        """Whether people are still to be told."""
        return alert.key not in self._page.alerts and self._now() - alert.at < OLD_NEWS

    def told(self, alert: Alert) -> None:
        """Remember that they were."""
        with self._lock:
            self._write(alerts=[*self._page.alerts, alert.key])

    @property
    def labels(self) -> RunLabels:
        """The labels that were shown last."""
        return self._page.labels

    def remember(self, labels: RunLabels) -> None:
        """These labels are shown."""
        with self._lock:
            if labels != self._page.labels:
                self._write(labels=labels)

    def _write(self, **changes: Any) -> None:
        self._page = self._page.model_copy(update=changes)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(self._page.to_json() + "\n")
        fresh.replace(self._path)


def _read(path: Path) -> _Page:
    try:
        return _Page.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return _Page()
