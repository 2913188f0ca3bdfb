"""Media wait for a server that is away, and not for one that refuses them."""

from pathlib import Path
from typing import Any

import pytest
import requests
from wandb.errors import CommError

from midcourse.contract.media import Table
from midcourse.tracking import wandb_rows
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.tracker import Row
from midcourse.tracking.wandb_rows import MOST_REFUSALS, MOST_TROUBLES, WandbRows


class SdkRun:
    """As much of the SDK's run as rows need; `log` refuses media so many times."""

    def __init__(self, refusals: int, error: Exception) -> None:
        self.refusals = refusals
        self.error = error
        self.rows: list[set[str]] = []

    def log(self, values: dict[str, Any], *, step: int, commit: bool) -> None:
        if "table" in values and self.refusals:
            self.refusals -= 1
            raise self.error
        self.rows.append({name for name in values if not name.startswith("_")})


def said(status: int) -> CommError:
    """What the SDK raises where the server answers with this."""
    response = requests.Response()
    response.status_code = status
    return CommError("no", requests.HTTPError(response=response))


@pytest.mark.parametrize(
    ("refusals", "error", "answers", "is_shown"),
    [
        (MOST_REFUSALS - 1, CommError("no"), True, True),
        (MOST_REFUSALS, CommError("no"), True, False),
        (MOST_REFUSALS, said(403), True, False),
        (10 * MOST_REFUSALS, CommError("no"), False, True),
        (MOST_TROUBLES - 1, said(503), True, True),
        (MOST_TROUBLES - 1, said(429), True, True),
        (MOST_TROUBLES, said(503), True, False),
    ],
    ids=str,
)
def test_media_wait_for_a_server_that_is_away_and_not_for_one_that_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusals: int,
    error: Exception,
    answers: bool,
    is_shown: bool,
) -> None:
    monkeypatch.setattr(wandb_rows, "answers", lambda *_: answers)
    run, notes, waits = SdkRun(refusals, error), list[str](), list[float]()
    rows = WandbRows(run, tmp_path, TrackingSettings(), notes.append, waits.append)
    table = Table(columns=["a"], rows=[[1]])
    rows.log(Row(0, 0, 1.0, {"loss": 0.5}, {"table": table}))
    assert run.rows == [{"loss", "step", "table"} if is_shown else {"loss", "step"}]
    assert len(waits) == (refusals if is_shown else refusals - 1)
    assert ("W&B refuses: no" in notes[-1]) is not is_shown
