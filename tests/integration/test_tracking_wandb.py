"""The tracker process with the real W&B SDK: offline folders read back, a stand-in server, faults.

Every wait is for a condition, with a limit that only a fault reaches.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from arrival import KEY, LIMIT, trainer, until
from tracked_runs import (
    RUN,
    checkpoint,
    lr_set,
    media,
    metrics,
    put_checkpoint,
    put_run,
    started,
    status,
)
from wandb_server.server import WandbServer

from midcourse.contract.base import Record
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, RunStatus, TrackingStatus
from midcourse.runlog import RunLogWriter
from midcourse.tracking.status import read_status
from midcourse.tracking.supervisor import TrackerProcess


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "home", RUN)
    paths.media.mkdir(parents=True)
    put_run(paths)
    return paths


@pytest.fixture
def log(paths: RunPaths) -> Iterator[RunLogWriter]:
    writer = RunLogWriter(paths.run_log)
    yield writer
    writer.close()


def say(log: RunLogWriter, *records: Record) -> None:
    log.append(*records)
    log.flush()


def status_of(paths: RunPaths) -> TrackingStatus:
    return read_status(paths) or TrackingStatus(mode="none")


def has_taken(paths: RunPaths, log: RunLogWriter) -> Callable[[], bool]:
    return lambda: status_of(paths).log_offset == log.size


def offline_folders(paths: RunPaths) -> list[Path]:
    return sorted((paths.tracking / "wandb").glob("*run-2*"))


def records(paths: RunPaths) -> list[dict[str, Any]]:
    """What W&B's own reader finds in the run's one offline folder."""
    [folder] = offline_folders(paths)
    [file] = folder.glob("*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def history(paths: RunPaths) -> list[dict[str, Any]]:
    items = [record["history"] for record in records(paths) if record["type"] == "history"]
    for item in items:
        assert item["step"].get("num", 0) == item["item"]["_step"]
    return [item["item"] for item in items]


def merged(paths: RunPaths, kind: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for record in records(paths):
        result |= record.get(kind, {}).get("update", {})
    return result


def losses(rows: list[dict[str, Any]]) -> dict[int, float]:
    return {row["_step"]: row["loss"] for row in rows if "loss" in row}


def steps(begin: int, end: int) -> list[Record]:
    return [metrics(step, loss=1.0 / (step + 1)) for step in range(begin, end)]


def expected(end: int) -> dict[int, float]:
    return {step: 1.0 / (step + 1) for step in range(end)}


def texts_with_key(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if KEY.encode() in path.read_bytes()]


def test_an_offline_run_holds_all_that_the_log_says(paths: RunPaths, log: RunLogWriter) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(paths.media / "three.png")
    tracker = TrackerProcess(paths)
    tracker.start()
    origin = Origin(run="rparent", checkpoint="step-9", changes={"optimizer.lr": 0.1})
    say(log, started(10, origin=origin))
    say(log, *steps(10, 14), lr_set(1, 13, 0.1, 0.01))
    say(
        log,
        metrics(13, **{"test/accuracy": 0.5, "odd": "NaN"}),
        media(13, "cm", ConfusionMatrix(labels=["a", "b"], counts=[[3, 1], [0, 4]])),
        media(13, "bars", Bars(labels=["a", "b"], values=[0.75, 1.0], value_title="accuracy")),
        media(13, "mixed", Table(columns=["n", "v"], rows=[["x", 1], ["y", "two"], ["z", None]])),
        media(13, "misses", ImageFiles(images=[ImageFile(path="media/three.png", caption="3")])),
        media(13, "lost", ImageFiles(images=[ImageFile(path="media/none.png")])),
        *steps(14, 16),
        checkpoint(13, best=True),
        checkpoint(15),
        status(RunStatus.FINISHED, 15, test_accuracy=0.5),
    )
    put_checkpoint(paths, checkpoint(13, best=True))
    put_checkpoint(paths, checkpoint(15))
    told = tracker.finish(LIMIT)
    assert (told.mode, told.state, told.url) == ("offline", "finished", None)
    assert Path(told.folder or "") == offline_folders(paths)[0]
    assert "lost of step 13 not shown" in (told.error or "")

    rows = history(paths)
    assert [row["_step"] for row in rows] == list(range(10, 16))
    assert [row["step"] for row in rows] == list(range(10, 16))
    assert [row["_timestamp"] for row in rows] == [metrics(s).time for s in range(10, 16)]
    assert losses(rows) == {step: 1.0 / (step + 1) for step in range(10, 16)}
    by_step = {row["_step"]: row for row in rows}
    assert by_step[10]["param/optimizer.lr"] == 0.1
    assert by_step[13]["param/optimizer.lr"] == 0.1
    assert by_step[14]["param/optimizer.lr"] == 0.01
    evaluation = by_step[13]
    assert (evaluation["test/accuracy"], evaluation["odd"]) == (0.5, "NaN")
    assert evaluation["intervention"] == 1
    assert evaluation["cm_table.nrows"] == 4
    assert evaluation["bars_table.ncols"] == 2
    assert evaluation["mixed.nrows"] == 3
    assert evaluation["interventions.nrows"] == 1
    assert evaluation["misses.captions"] == ["3"]

    config = merged(paths, "config") | merged(paths, "run")
    about = config["midcourse"]
    assert about["origin"]["step"] == 9
    assert about["parameters"]["optimizer"]["lr"] == 0.01
    [run] = [record["run"] for record in records(paths) if record["type"] == "run"]
    assert run["config"]["update"]["optimizer"] == {"name": "sgd", "lr": 0.1}
    assert (run["run_id"], run["run_group"], run["project"]) == (RUN, "digits", "midcourse")
    assert run["job_type"] == "train"
    summary = merged(paths, "summary")
    assert summary["test_accuracy"] == 0.5
    assert summary["best/test/accuracy"] == 0.5
    assert summary["midcourse/status"] == "finished"
    artifacts = [record["artifact"] for record in records(paths) if record["type"] == "artifact"]
    kept = [item for item in artifacts if item["type"] == "model"]
    assert [item["name"] for item in kept] == [f"{RUN}-checkpoint"] * 2
    assert {"step-13", "best"} <= set(kept[0]["aliases"])
    assert {"step-15", "latest"} <= set(kept[1]["aliases"])
    for item in kept:
        for content in item["manifest"]["contents"]:
            assert Path(content["local_path"]).is_relative_to(paths.tracking)
            assert Path(content["local_path"]).is_file()


def test_a_killed_tracker_is_restarted_and_the_history_is_whole(
    paths: RunPaths, log: RunLogWriter
) -> None:
    tracker = TrackerProcess(paths)
    tracker.start()
    say(log, started(), *steps(0, 50))
    until(has_taken(paths, log), "the tracker has read the log")
    assert tracker._process is not None
    tracker._process.kill()
    tracker._process.wait()
    say(log, *steps(50, 100), status(RunStatus.STOPPED, 99))
    assert tracker.finish(LIMIT).state == "finished"
    assert losses(history(paths)) == expected(100)


def test_a_killed_trainer_leaves_nothing_unsent_and_its_successor_goes_on(
    paths: RunPaths, log: RunLogWriter
) -> None:
    with trainer(paths):
        say(log, started(), *steps(0, 50))
        until(lambda: status_of(paths).folder is not None, "W&B was opened")
        say(log, *steps(50, 80))
    # The next attempt starts at once; the first tracker may still be at work.
    tracker = TrackerProcess(paths)
    tracker.start()
    say(log, started(next_step=60, attempt=2), *steps(60, 120), status(RunStatus.FINISHED, 119))
    assert tracker.finish(LIMIT).state == "finished"
    rows = history(paths)
    assert losses(rows) == expected(120)
    assert merged(paths, "config")["midcourse"]["attempt"] == 2
    exits = [record for record in records(paths) if record["type"] == "exit"]
    assert len(exits) == 1


def test_a_later_tracker_by_hand_sends_what_was_left_and_then_has_nothing_to_do(
    paths: RunPaths, log: RunLogWriter
) -> None:
    say(log, started(), *steps(0, 10), status(RunStatus.FINISHED, 9))
    command = [sys.executable, "-m", "midcourse.tracking", str(paths.folder)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    assert losses(history(paths)) == expected(10)
    [folder] = offline_folders(paths)
    again = subprocess.run(
        command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert "nothing to do" in again.stderr
    assert offline_folders(paths) == [folder]


def test_an_offline_run_can_be_synced_as_the_docs_say(
    paths: RunPaths, log: RunLogWriter, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = TrackerProcess(paths)
    tracker.start()
    put_checkpoint(paths, checkpoint(9))
    say(log, started(), *steps(0, 10), lr_set(1, 4, 0.1, 0.01), checkpoint(9))
    say(log, status(RunStatus.FINISHED, 9))
    folder = tracker.finish(LIMIT).folder
    assert folder is not None
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    sync = [sys.executable, "-m", "wandb", "sync", folder]
    subprocess.run(sync, check=True, cwd=paths.home)
    assert losses(server.rows(RUN)) == expected(10)
    assert [row["_step"] for row in server.rows(RUN)] == list(range(10))
    assert server.run(RUN).exit_code == 0
    assert f"{RUN}-checkpoint:v0" in [artifact.name for artifact in server.artifacts]


def test_a_run_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "midcourse.tracking", str(tmp_path / "none")]
    result = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == f"There is no run folder {tmp_path / 'none'}.\n"


@pytest.mark.parametrize("fault", ["server down", "refused", "malformed key"])
def test_what_cannot_go_online_goes_offline_and_says_so(
    paths: RunPaths,
    log: RunLogWriter,
    server: WandbServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    match fault:
        case "server down":
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                port = unused.getsockname()[1]
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        case "refused":
            server.faults.add("any", status=401)
        case "malformed key":
            monkeypatch.setenv("WANDB_API_KEY", f"{KEY} and more")
    tracker = TrackerProcess(paths)
    tracker.start()
    say(log, started(), *steps(0, 10), status(RunStatus.FINISHED, 9))
    told = tracker.finish(LIMIT)
    assert (told.mode, told.state, told.left) == ("offline", "behind", 10)
    assert "W&B cannot be reached, so this run is tracked offline" in (told.error or "")
    assert losses(history(paths)) == expected(10)
    assert texts_with_key(paths.home) == []


def test_an_online_run_reaches_the_server_once_through_a_tracker_and_its_successor(
    paths: RunPaths, log: RunLogWriter, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_TOKEN", KEY)
    monkeypatch.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")
    first = TrackerProcess(paths)
    first.start()
    bars = media(9, "bars", Bars(labels=["a"], values=[1.0]))
    say(log, started(), *steps(0, 10), lr_set(1, 9, 0.1, 0.01), bars, *steps(10, 20))
    put_checkpoint(paths, checkpoint(19, best=True))
    say(log, checkpoint(19, best=True), status(RunStatus.INTERRUPTED, 19))
    told = first.finish(LIMIT)
    assert (told.mode, told.state, told.error) == ("online", "finished", None)
    assert told.url is not None
    assert told.url.startswith(server.url)
    assert server.run(RUN).exit_code == 143
    assert losses(server.rows(RUN)) == expected(20)

    second = TrackerProcess(paths)
    second.start()
    say(log, started(next_step=15, attempt=2), *steps(15, 30), status(RunStatus.FINISHED, 29))
    assert second.finish(LIMIT).error is None
    rows = server.rows(RUN)
    assert [row["_step"] for row in rows] == list(range(30))
    assert losses(rows) == expected(30)
    assert (rows[9]["param/optimizer.lr"], rows[10]["param/optimizer.lr"]) == (0.1, 0.01)
    assert server.run(RUN).summary["midcourse/status"] == "finished"
    assert server.run(RUN).exit_code == 0
    kept = [artifact for artifact in server.artifacts if artifact.type == "model"]
    assert [artifact.name for artifact in kept] == [f"{RUN}-checkpoint:v0"]
    assert set(kept[0].aliases) == {"latest", "best", "step-19"}
    assert not (paths.tracking / "kept").exists()
    assert texts_with_key(paths.home) == []


def test_ctrl_c_and_termination_of_the_group_leave_the_last_word_to_the_trainer(
    paths: RunPaths, log: RunLogWriter
) -> None:
    tracker = TrackerProcess(paths)
    tracker.start()
    say(log, started(), *steps(0, 5))
    until(has_taken(paths, log), "the tracker has read the log")
    assert tracker._process is not None
    assert os.getpgid(tracker._process.pid) != os.getpgid(0), "Ctrl-C does not reach it"
    tracker._process.send_signal(signal.SIGTERM)
    say(log, *steps(5, 8), status(RunStatus.INTERRUPTED, 7))
    assert tracker.finish(LIMIT).state == "finished"
    assert losses(history(paths)) == expected(8)
