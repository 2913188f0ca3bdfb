"""Media wait for a server that is away, and not for one that refuses them."""

from pathlib import Path
from typing import Any

import pytest
from tracked_runs import RUN
from wandb.errors import CommError

from midcourse.contract.media import Table
from midcourse.contract.paths import RunPaths
from midcourse.tracking import wandb_tracker
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.tracker import Row
from midcourse.tracking.wandb_tracker import MOST_REFUSALS, WandbTracker


class SdkRun:
    """As much of the SDK's run as rows need; `log` refuses media so many times."""

    offline = True
    starting_step = 0

    def __init__(self, folder: Path, refusals: int) -> None:
        self.dir = str(folder / "run" / "files")
        self.refusals = refusals
        self.rows: list[set[str]] = []

    def define_metric(self, *_: Any, **__: Any) -> None: ...

    def log(self, values: dict[str, Any], *, step: int, commit: bool) -> None:
        if "table" in values and self.refusals:
            self.refusals -= 1
            raise CommError("no")
        self.rows.append({name for name in values if not name.startswith("_")})


@pytest.mark.parametrize(
    ("refusals", "answers", "is_shown"),
    [
        (MOST_REFUSALS - 1, True, True),
        (MOST_REFUSALS, True, False),
        (10 * MOST_REFUSALS, False, True),
    ],
)
def test_media_wait_for_a_server_that_is_away_and_not_for_one_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, answers: bool, is_shown: bool
) -> None:
    monkeypatch.setattr(wandb_tracker, "answers", lambda *_: answers)
    run, notes, waits = SdkRun(tmp_path, refusals), list[str](), list[float]()
    tracker = WandbTracker(
        run, RunPaths(tmp_path, RUN), TrackingSettings(), notes.append, sleep=waits.append
    )
    table = Table(columns=["a"], rows=[[1]])
    tracker.log(Row(0, 0, 1.0, {"loss": 0.5}, {"table": table}))
    assert run.rows == [{"loss", "step", "table"} if is_shown else {"loss", "step"}]
    assert len(waits) == (refusals if is_shown else MOST_REFUSALS - 1)
    assert ("W&B refuses: no" in notes[-1]) is not is_shown
