"""What trackers of a run have told people, remembered from one to the next."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

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
    """`tracking/told.json`, written whole each time. One that cannot be read begins anew."""

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._path = path
        self._now = now
        self._page = _read(path)

    def is_news(self, alert: Alert) -> bool:
        """Whether people are still to be told."""
        return alert.key not in self._page.alerts and self._now() - alert.at < OLD_NEWS

    def told(self, alert: Alert) -> None:
        """Remember that they were."""
        self._write(self._page.model_copy(update={"alerts": [*self._page.alerts, alert.key]}))

    @property
    def labels(self) -> RunLabels:
        """The labels that were shown last."""
        return self._page.labels

    def remember(self, labels: RunLabels) -> None:
        """Labels are shown."""
        self._write(self._page.model_copy(update={"labels": labels}))

    def _write(self, page: _Page) -> None:
        self._page = page
        fresh = self._path.with_suffix(".new")
        fresh.write_text(page.to_json() + "\n")
        fresh.replace(self._path)


def _read(path: Path) -> _Page:
    try:
        return _Page.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return _Page()
