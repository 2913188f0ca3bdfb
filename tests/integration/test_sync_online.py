"""Sending later, with the real SDK and a stand-in server: by hand, and by the control API."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from control_bench import Bench
from control_bench import status as ended
from tracked_runs import lr_set, metrics, started, status
from wandb_server.server import WandbServer, wandb_server

from midcourse.contract.base import Record
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, RunLabels, RunStatus
from midcourse.runlog import RunLogWriter
from midcourse.tracking.status import read_status

ROOT = Path(__file__).parents[2]
KEY = "key0123456789" * 5
pytestmark = pytest.mark.only_on("sqlite")  # the database has no say in this


class Home:
    """Runs that were trained with no server, and `midcourse sync` on them."""

    def __init__(self, folder: Path, server: WandbServer) -> None:
        self.folder = folder
        inherited = {name: one for name, one in os.environ.items() if "WANDB" not in name}
        self.environment = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "MIDCOURSE_HOME": str(folder),
            "WANDB_INIT_TIMEOUT": "10",
            "WANDB_BASE_URL": server.url,
        }

    def run(self, run_id: str, *records: Record, origin: Origin | None = None) -> RunPaths:
        """A run with this log, which its own tracker has put into an offline folder."""
        paths = RunPaths(self.folder, run_id)
        paths.folder.mkdir(parents=True)
        first = started(origin=origin)
        run = first.run.model_copy(update={"id": run_id})
        paths.run_file.write_text(run.to_json())
        log = RunLogWriter(paths.run_log)
        log.append(first.model_copy(update={"run": run}), *records)
        log.close()
        subprocess.run(
            [sys.executable, "-P", "-m", "midcourse.tracking", str(paths.folder)],
            env={**self.environment, "WANDB_MODE": "offline"},
            check=True,
            capture_output=True,
        )
        told = read_status(paths)
        assert told is not None
        assert (told.mode, told.state) == ("offline", "finished")
        return paths

    def sync(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "midcourse.cli", "sync", *words],
            env={**self.environment, "WANDB_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def synced(self, *words: str) -> tuple[int, list[str], str]:
        """Exit code, lines, errors of one that has come to its end."""
        process = self.sync(*words)
        out, err = process.communicate()
        return process.returncode, out.splitlines(), err


@pytest.fixture
def home(tmp_path: Path, server: WandbServer) -> Home:
    return Home(tmp_path / "home", server)


def steps(count: int) -> list[Record]:
    return [metrics(step, loss=1.0 / (step + 1)) for step in range(count)]


def curve(server: WandbServer, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    """What the server has of a metric, row by row: a row that came twice is there twice."""
    return [(row["_step"], row[name]) for row in server.rows(run_id) if name in row]


def expected(count: int) -> list[tuple[int, float]]:
    return [(step, 1.0 / (step + 1)) for step in range(count)]


def until(condition: Callable[[], Any]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.05)


def test_what_was_trained_with_no_server_is_there_after_a_sync_the_parent_first(
    home: Home, server: WandbServer
) -> None:
    origin = Origin(run="rparent", checkpoint="step-1", changes={"optimizer.lr": 0.1})
    end = status(RunStatus.FINISHED, 29)
    home.run("rachild", *steps(30)[2:], end, origin=origin)
    parent = home.run("rparent", *steps(20), lr_set(1, 19, 0.1, 0.01), *steps(30)[20:], end)
    code, lines, err = home.synced()
    assert (code, err) == (0, "")
    assert lines[-1] == "2 runs sent; nothing is left"
    assert [run.id for run in server.runs] == ["rparent", "rachild"]
    for run, first in (("rparent", 0), ("rachild", 2)):
        assert curve(server, run) == expected(30)[first:]
        assert server.run(run).state == "finished"
    assert curve(server, "rparent", "param/optimizer.lr") == [(0, 0.1), (19, 0.1), (20, 0.01)]
    assert server.errors == []
    told = read_status(parent)
    assert told is not None
    assert (told.mode, told.state) == ("online", "finished")
    rows = {run.id: list(run.rows) for run in server.runs}
    assert home.synced() == (0, ["nothing is left to be sent"], "")
    assert home.synced("--all")[0] == 0
    assert {run.id: list(run.rows) for run in server.runs} == rows, "nothing comes twice"


@pytest.mark.parametrize("words", [["ra"], ["--all"]])
def test_the_server_is_asked_about_what_was_sent_and_a_deleted_run_comes_back_whole(
    home: Home, server: WandbServer, words: list[str]
) -> None:
    paths = home.run("ra", *steps(20), status(RunStatus.FINISHED, 19))
    paths.labels.write_text(RunLabels(name="first", tags=["a"], notes="ours").to_json())
    assert home.synced()[0] == 0
    server.store.delete_run(server.run("ra"))
    assert home.synced(*words)[0] == 0
    assert curve(server, "ra") == expected(20)
    found = server.run("ra")
    assert (found.state, found.config["midcourse"]["run"]) == ("finished", "ra")
    assert (found.display_name, found.tags, found.notes) == ("first", ["a"], "ours")


def test_what_another_server_has_is_not_there(home: Home, server: WandbServer) -> None:
    run = home.run("ra", *steps(5), status(RunStatus.FINISHED, 4))
    with wandb_server() as stand_in:
        home.environment["WANDB_BASE_URL"] = stand_in.url
        assert home.synced()[1][-1] == "1 run sent; nothing is left"
        assert curve(stand_in, "ra") == expected(5)
    told = read_status(run)
    assert told is not None
    assert (told.state, told.server) == ("finished", stand_in.url)
    home.environment["WANDB_BASE_URL"] = server.url
    assert home.synced()[1][-1] == "1 run sent; nothing is left"
    assert curve(server, "ra") == expected(5)
    assert home.synced() == (0, ["nothing is left to be sent"], "")


def test_while_the_server_is_away_nothing_is_said_to_be_sent(
    home: Home, server: WandbServer
) -> None:
    home.run("ra", *steps(10), status(RunStatus.FINISHED, 9))
    server.stop()
    code, lines, _ = home.synced()
    assert code == 1
    assert lines[-1] == "0 runs sent; 1 run left: ra"
    assert KEY not in "".join(lines)
    server.start()
    assert home.synced()[0] == 0
    assert curve(server, "ra") == expected(10)


def test_ctrl_c_ends_at_once_and_the_next_sync_goes_on(home: Home, server: WandbServer) -> None:
    paths = home.run("ra", *steps(500), status(RunStatus.FINISHED, 499))
    hang = server.faults.add("file_stream", hang=True)
    process = home.sync()
    until(lambda: hang.met)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "not all there" in out
    told = read_status(paths)
    assert told is not None
    assert told.state == "behind"
    hang.lift()
    assert home.synced()[0] == 0
    assert curve(server, "ra") == expected(500)


def test_the_control_api_sends_what_a_run_left_offline(tmp_path: Path, server: WandbServer) -> None:
    there = Home(tmp_path / "home", server)
    environment = {**there.environment, "WANDB_API_KEY": KEY}
    bench = Bench(tmp_path / "home", helper_environment=environment)
    trainer = bench.submit()
    run = trainer.started().run
    trainer.paths.run_file.write_text(run.to_json())
    trainer.write(trainer.started(), *steps(40), ended("finished", step=39))
    subprocess.run(
        [sys.executable, "-P", "-m", "midcourse.tracking", str(trainer.paths.folder)],
        env={**environment, "WANDB_MODE": "offline"},
        check=True,
        capture_output=True,
    )
    trainer.end(0)
    bench.round()
    assert bench.get("/sync")["count"] == 1
    pause = threading.Event()
    while bench.get("/sync")["count"]:
        bench.round(later=3)
        pause.wait(0.1)
    assert curve(server, trainer.run) == expected(40)
    assert bench.get(f"/runs/{trainer.run}")["tracking"]["mode"] == "online"
    bench.close()
