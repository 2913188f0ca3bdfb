"""The parent of a fork is asked for its checkpoint, and no more than it may be asked."""

import fcntl
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tracked_runs import RUN, checkpoint, put_checkpoint, put_run, started, write

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import TrackingStatus
from midcourse.tracking import parent as module
from midcourse.tracking.errands import NeverDone
from midcourse.tracking.parent import MOST_STARTS, ParentCheckpoint
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.status import write_status
from midcourse.tracking.supervisor import EXIT_ANOTHER


class Publisher:
    """A tracker of the parent that has ended, as `Popen` gives it."""

    started: ClassVar[list[dict[str, str]]] = []
    code: int | None = 0

    def __init__(self, *_: Any, env: dict[str, str], **__: Any) -> None:
        self.started.append({name: env[name] for name in ("WANDB_ENTITY", "WANDB_PROJECT")})

    def poll(self) -> int | None:
        return self.code


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A parent that has ended, with a checkpoint that W&B does not have."""
    paths = RunPaths(tmp_path, RUN)
    put_run(paths)
    put_checkpoint(paths, checkpoint(9))
    write(paths, started(), checkpoint(9))
    paths.tracking.mkdir()
    monkeypatch.setattr(module.Remote, "has_checkpoint", lambda *_: False)
    monkeypatch.setattr(module.subprocess, "Popen", Publisher)
    monkeypatch.setattr(Publisher, "started", [])
    return paths


def asked(paths: RunPaths) -> ParentCheckpoint:
    return ParentCheckpoint(paths, TrackingSettings(), ("lab", "digits"), "step-9")


def test_its_tracker_is_started_a_few_times(paths: RunPaths) -> None:
    parent = asked(paths)
    for _ in range(MOST_STARTS):
        assert not parent.is_used_by(None)
    with pytest.raises(NeverDone, match=r"its tracker did not publish it; see .*tracker\.log"):
        parent.is_used_by(None)
    assert len(Publisher.started) == MOST_STARTS


def test_while_another_tracker_is_at_work_nothing_is_counted(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Publisher, "code", EXIT_ANOTHER)
    parent = asked(paths)
    for _ in range(3 * MOST_STARTS):
        assert not parent.is_used_by(None)


def test_one_that_runs_is_waited_for(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, "code", None)
    parent = asked(paths)
    for _ in range(3 * MOST_STARTS):
        assert not parent.is_used_by(None)
    assert len(Publisher.started) == 1


def test_a_parent_that_trains_is_left_to_its_own_tracker(paths: RunPaths) -> None:
    lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert not asked(paths).is_used_by(None)
    assert Publisher.started == []
    os.close(lock)
    assert not asked(paths).is_used_by(None)
    assert len(Publisher.started) == 1


def test_a_parent_that_was_not_to_be_tracked_is_not(paths: RunPaths) -> None:
    write_status(paths, TrackingStatus(mode="disabled"))
    with pytest.raises(NeverDone, match="that run is not tracked"):
        asked(paths).is_used_by(None)
    assert Publisher.started == []


def test_what_is_lost_is_not_waited_for(paths: RunPaths) -> None:
    (paths.checkpoint("step-9") / "manifest.json").unlink()
    for file in paths.checkpoint("step-9").iterdir():
        file.unlink()
    paths.checkpoint("step-9").rmdir()
    with pytest.raises(NeverDone, match="retention removed it before it was published"):
        asked(paths).is_used_by(None)


@pytest.mark.parametrize(
    ("page", "place"),
    [
        (f"https://wandb.ai/us/other/runs/{RUN}", ("us", "other")),
        (f"https://elsewhere.example/us/other/runs/{RUN}", ("lab", "digits")),
        (None, ("lab", "digits")),
    ],
)
def test_it_is_looked_for_where_its_parent_is(
    paths: RunPaths, page: str | None, place: tuple[str, str]
) -> None:
    write_status(paths, TrackingStatus(mode="online", url=page))
    assert not asked(paths).is_used_by(None)
    assert Publisher.started == [{"WANDB_ENTITY": place[0], "WANDB_PROJECT": place[1]}]
