"""Sending later: which runs, in which order, what is told, and what is left after an interrupt."""

import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tracked_runs import metrics, started, status

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, RunStatus, TrackingStatus
from midcourse.runlog import RunLogWriter
from midcourse.tracking.home import read_run, runs_of
from midcourse.tracking.status import read_status, write_status
from midcourse.tracking.sync import _parser, main, sync
from midcourse.tracking.unsent import Sending, in_order, look

KEY = "k" * 40
TRACKER = Path(__file__).parents[1] / "fake_tracker.py"


class Home:
    """A home folder with runs, and a tracker that does as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: dict[str, dict[str, Any]] = {}

    def run(
        self,
        run_id: str,
        tracking: dict[str, Any] | None = None,
        *,
        begin: int = 0,
        origin: str | None = None,
    ) -> RunPaths:
        paths = RunPaths(self.folder, run_id)
        paths.folder.mkdir(parents=True)
        source = Origin(run=origin, checkpoint="step-1") if origin else None
        first = started(next_step=begin, origin=source)
        run = first.run.model_copy(update={"id": run_id})
        paths.run_file.write_text(run.to_json())
        log = RunLogWriter(paths.run_log)
        log.append(
            first.model_copy(update={"run": run}),
            metrics(begin, loss=1.0),
            status(RunStatus.FINISHED, begin),
        )
        log.close()
        if tracking is not None:
            write_status(paths, TrackingStatus(**tracking))
        return paths

    def size(self, run_id: str) -> int:
        return RunPaths(self.folder, run_id).run_log.stat().st_size

    def sends(self, run_id: str) -> None:
        """The tracker will send all of this run."""
        says = [
            self.says(run_id, state="running", left=7, log_offset=10),
            self.says(run_id, state="finished", left=0, log_offset=self.size(run_id)),
        ]
        self.told[run_id] = {"says": says}

    def says(self, run_id: str, **more: Any) -> dict[str, Any]:
        url = f"https://wandb.example/{run_id}"
        return TrackingStatus(mode="online", url=url, **more).model_dump(mode="json")

    def sync(
        self, *words: str, ended: threading.Event | None = None, key: str = KEY, **environ: str
    ) -> int:
        (self.folder / "tracker.json").write_text(json.dumps(self.told))
        options = _parser().parse_args([f"--home={self.folder}", *words])
        environ |= {"WANDB_API_KEY": key, "WANDB_MODE": "offline"}
        command = [sys.executable, str(TRACKER)]
        return sync(options, environ, ended or threading.Event(), command)

    @property
    def start(self) -> dict[str, Any]:
        """How the last tracker was started: `argv` and `environ`."""
        return dict(json.loads((self.folder / "start.json").read_text()))

    @property
    def order(self) -> list[str]:
        file = self.folder / "order"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


SERVER = "https://api.wandb.ai"
OFFLINE = {"mode": "offline", "state": "finished", "log_offset": 10**6}
SENT = {"mode": "online", "state": "finished", "log_offset": 10**6}


@contextmanager
def held(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize(
    ("tracking", "sending"),
    [
        (None, Sending.DUE),
        ({"mode": "offline", "state": "finished", "log_offset": 10**6}, Sending.DUE),
        ({"mode": "online", "state": "behind", "log_offset": 10**6}, Sending.DUE),
        ({"mode": "online", "state": "failed", "log_offset": 10**6}, Sending.DUE),
        ({"mode": "online", "state": "running", "log_offset": 10**6}, Sending.DUE),
        ({"mode": "online", "state": "finished", "log_offset": 10}, Sending.DUE),
        ({"mode": "online", "state": "finished", "log_offset": 10**6, "left": 3}, Sending.DUE),
        ({"mode": "online", "state": "finished", "log_offset": 10**6, "left": 0}, Sending.SENT),
        ({"mode": "online", "state": "finished", "log_offset": 10**6}, Sending.SENT),
        ({**SENT, "server": SERVER}, Sending.SENT),
        ({**SENT, "server": "http://127.0.0.1:4711"}, Sending.DUE),
        ({"mode": "disabled", "state": "finished"}, Sending.DISABLED),
    ],
)
def test_what_is_to_be_done_about_a_run(
    home: Home, tracking: dict[str, Any] | None, sending: Sending
) -> None:
    paths = home.run("ra", tracking)
    run = read_run(paths.folder)
    assert run is not None
    assert look(run, SERVER).sending is sending
    for lock in (paths.lock, paths.tracking / "lock"):
        with held(lock):
            assert look(run, SERVER).sending is Sending.BUSY
    paths.run_log.write_bytes(b"")
    assert look(run, SERVER).sending is (Sending.EMPTY)


def test_the_oldest_comes_first_and_no_fork_before_its_parent(home: Home) -> None:
    home.run("ra", begin=1, origin="rd")
    home.run("rb", begin=2)
    home.run("rc", begin=3, origin="elsewhere")
    home.run("rd", begin=9, origin="re")
    home.run("re", begin=8)
    runs = runs_of(home.folder)
    assert [run.id for run in in_order(runs)] == ["re", "rd", "ra", "rb", "rc"]
    assert [run.id for run in in_order(reversed(runs))] == ["re", "rd", "ra", "rb", "rc"]


def test_files_that_say_that_each_is_the_others_parent_do_not_hang_it(home: Home) -> None:
    home.run("ra", origin="rb")
    home.run("rb", origin="ra")
    assert {run.id for run in in_order(runs_of(home.folder))} == {"ra", "rb"}


def test_all_that_is_not_there_is_sent_and_nothing_else(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.run("ra", OFFLINE, begin=1)
    home.run("rb", begin=2)
    home.run("rc", {"mode": "online", "state": "finished", "log_offset": 10**6})
    home.run("rd", {"mode": "disabled", "state": "finished"})
    for run_id in ("ra", "rb"):
        home.sends(run_id)
    assert home.sync() == 0
    assert home.order == ["ra online kkk", "rb online kkk"]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("ra (1 of 2): ")
    assert told[1] == "  all there: https://wandb.example/ra"
    assert told[-1] == "2 runs sent; nothing is left"
    assert home.sync() == 0
    assert home.order[2:] == []
    assert capsys.readouterr().out == "nothing is left to be sent\n"


def test_one_that_fails_keeps_no_other_from_being_sent(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, run_id in enumerate(["ra", "rb", "rc", "rd", "re"]):
        home.run(run_id, OFFLINE, begin=number)
    went_offline = {**OFFLINE, "error": f"W&B cannot be reached with {KEY}"}
    home.told = {
        "ra": {"says": [TrackingStatus(**went_offline).model_dump(mode="json")]},
        "rb": {"says": [home.says("rb", state="behind", left=1200)], "code": 3},
        "rc": {"code": 4},
        "rd": {"code": 1},
    }
    home.sends("re")
    assert home.sync() == 1
    assert [line.split()[0] for line in home.order] == ["ra", "rb", "rc", "rd", "re"]
    told = capsys.readouterr().out
    assert "W&B cannot be reached with [API key]; see " in told
    assert KEY not in told
    assert "  not all there, 1,200 rows left" in told
    assert "its own tracker is at work" in told
    assert told.splitlines()[-1] == "1 run sent; 4 runs left: ra, rb, rc, rd"


def test_for_programs_there_is_an_object_a_line(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.run("ra", OFFLINE)
    busy = home.run("rb", OFFLINE)
    home.sends("ra")
    with held(busy.lock):
        assert home.sync("--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "run": "rb",
        "state": "busy",
        "left": None,
        "bytes_left": home.size("rb"),
        "url": None,
        "sent": False,
    }
    assert lines[1] == {
        "run": "ra",
        "state": "sent",
        "left": 0,
        "bytes_left": 0,
        "url": "https://wandb.example/ra",
        "sent": True,
        "why": None,
    }
    assert lines[2] == {"sent": 1, "left": 0, "bytes_left": 0}


def test_a_dry_run_only_tells(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.run("ra", OFFLINE)
    home.run("rb", {"mode": "disabled", "state": "finished"})
    assert home.sync("--dry-run", key="") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ra would be sent: {home.size('ra') / 1000:.1f} kB of log left",
        "rb is not tracked (WANDB_MODE=disabled); name it, and it is sent",
        "1 run would be sent",
    ]
    assert home.order == []


@pytest.mark.parametrize("words", [["rb"], ["--all"]])
def test_what_is_named_is_asked_about_again(home: Home, words: list[str]) -> None:
    home.run("rb", {"mode": "online", "state": "finished", "log_offset": 10**6})
    home.sends("rb")
    assert home.sync(*words) == 0
    assert home.order == ["rb online kkk"]
    assert "--again" in home.start["argv"], "or it would ask nobody"


def test_an_upload_may_take_hours(home: Home) -> None:
    """Ended, it would begin from zero the next time, and never be done."""
    home.run("ra", OFFLINE)
    home.sends("ra")
    assert home.sync() == 0
    assert "--finish-seconds=21600" in home.start["argv"]


def test_a_folder_that_takes_no_file_keeps_no_other_run_from_being_sent(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = home.run("ra", OFFLINE, begin=1)
    home.run("rb", begin=2)
    home.sends("rb")
    paths.tracking_log.mkdir()
    assert home.sync() == 1
    assert home.order == ["rb online kkk"]
    told = capsys.readouterr().out.splitlines()
    assert "it could not be sent: [Errno 21] Is a directory" in told[1]
    assert told[-1] == "1 run sent; 1 run left: ra"


def test_without_a_key_there_is_one_sentence(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.run("ra", OFFLINE)
    assert home.sync(key="") == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("midcourse: there is no W&B key to send with: set WANDB_API_KEY")
    assert told.err.count("\n") == 1
    assert "WANDB_MODE" not in told.err, "it is ours to set"


def test_why_the_file_of_the_key_gives_none_is_told(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.run("ra", OFFLINE)
    file = home.folder / "key"
    assert home.sync(key="", WANDB_API_KEY_FILE=str(file)) == 4
    told = capsys.readouterr().err
    assert told.startswith("midcourse: there is no W&B key to send with: set WANDB_API_KEY")
    assert told.endswith(
        f". WANDB_API_KEY_FILE names {file}, which cannot be read (No such file or directory)\n"
    )


def test_what_sends_a_run_has_no_token_and_finds_midcourse(home: Home) -> None:
    home.run("ra", OFFLINE)
    home.sends("ra")
    tokens = {"MIDCOURSE_RUN_TOKEN": "secret", "MIDCOURSE_API_TOKEN": "secret"}
    assert home.sync(PYTHONPATH="/theirs", WANDB_PROJECT="mine", **tokens) == 0
    found = home.start["environ"]
    assert "secret" not in found.values()
    assert found["WANDB_PROJECT"] == "mine"
    assert found["PYTHONPATH"].split(os.pathsep) == [str(TRACKER.parents[1]), "/theirs"]


def test_what_is_interrupted_is_left_for_the_next_time(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = home.run("ra", OFFLINE, begin=1)
    home.run("rb", OFFLINE, begin=2)
    home.told = {"ra": {"says": [home.says("ra", state="running", left=5)], "hangs": True}}
    ended = threading.Event()
    until(lambda: home.folder.joinpath("hangs").exists(), ended.set)
    assert home.sync(ended=ended) == 130
    assert home.order == ["ra online kkk"]
    assert "0 runs sent; 2 runs left: ra, rb" in capsys.readouterr().out
    left = read_status(paths)
    assert left is not None
    assert left.state == "behind"
    home.sends("ra")
    home.sends("rb")
    assert home.sync() == 0


def until(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    """Act once something is so, in a thread of its own."""

    def wait() -> None:
        pause = threading.Event()
        while not condition():
            pause.wait(0.05)
        act()

    threading.Thread(target=wait, daemon=True).start()


def test_a_home_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main([f"--home={tmp_path / 'none'}"]) == 1
    assert "there is no folder" in capsys.readouterr().err
