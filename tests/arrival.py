"""A run that is tracked online, and what must be at the server when it has ended: all of it, once.

What is expected is made by following the run log into memory, as any tracker is fed.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from tracked_runs import (
    RUN,
    checkpoint,
    lr_set,
    media,
    metrics,
    moment,
    put_checkpoint,
    started,
    status,
)
from wandb_server.runs import Run
from wandb_server.server import WandbServer

from midcourse.contract.base import Record, utc_now
from midcourse.contract.datasets import Dataset
from midcourse.contract.media import Bars, ConfusionMatrix, ImageFile, ImageFiles, Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import DatasetUsed, parse_record
from midcourse.contract.runs import Origin, RunStatus, TrackingStatus
from midcourse.runlog import RunLogWriter
from midcourse.tracking.follow import Follower
from midcourse.tracking.status import read_status
from midcourse.tracking.supervisor import TrackerProcess
from midcourse.tracking.tracker import RecordingTracker, Row

KEY = "key0123456789" * 5
LIMIT = 240.0
_ROOT = Path(__file__).parents[1]
TRACKER = (sys.executable, "-P", "-m", "midcourse.tracking")

_TRAINER = """
import sys
from pathlib import Path
from midcourse.contract.paths import RunPaths
from midcourse.tracking.supervisor import TrackerProcess

tracker = TrackerProcess(RunPaths(Path(sys.argv[1]), sys.argv[2]))
tracker.start()
print(tracker._process.pid, flush=True)
sys.stdin.read()
"""


def online(environment: Any, server: WandbServer) -> None:
    """Have trackers go online to a server, and see within seconds what it has."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            environment.delenv(name)
    environment.setenv("WANDB_BASE_URL", server.url)
    environment.setenv("WANDB_API_KEY", KEY)
    environment.setenv("WANDB_INIT_TIMEOUT", "4")
    environment.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")
    environment.setenv("WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS", "3")


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


class Tracked:
    """One run's log as its trainer writes it, and the tracker beside it."""

    def __init__(self, home: Path, server: WandbServer | None, run_id: str = RUN) -> None:
        """A run that has not begun; `server` is the stand-in, where it is that."""
        self._server = server
        self.id = run_id
        self.paths = RunPaths(home, run_id)
        self.paths.media.mkdir(parents=True)
        self.log = RunLogWriter(self.paths.run_log)
        self.step = 0
        self._lock: int | None = None

    def tracker(self, **options: Any) -> TrackerProcess:
        """Start one, as a session does."""
        process = TrackerProcess(self.paths, **options)
        process.start()
        return process

    def say(self, *records: Record) -> None:
        self.log.append(*records)
        self.log.flush()

    def train(self, steps: int) -> None:
        """Steps with a loss, and media at every tenth."""
        for step in range(self.step, self.step + steps):
            self.say(metrics(step, train__loss=1.0 / (step + 1), train__lr=0.1))
            if step % 10 == 5:
                self._evaluate(step)
        self.step += steps

    def _evaluate(self, step: int) -> None:
        picture = self.paths.media / f"{step}.png"
        Image.new("L", (8, 8), color=step % 256).save(picture)
        shown = ImageFile(path=f"media/{picture.name}", caption=str(step))
        self.say(
            metrics(step, test__accuracy=step / 1000),
            media(step, "test/cm", ConfusionMatrix(labels=["a", "b"], counts=[[step, 1], [0, 4]])),
            media(step, "test/bars", Bars(labels=["a", "b"], values=[0.5, step])),
            media(step, "examples", ImageFiles(images=[shown])),
            media(step, "mixed", Table(columns=["n", "v"], rows=[["x", step], ["y", "two"]])),
        )

    def change(self, seq: int) -> None:
        """An intervention at the newest step."""
        self.say(lr_set(seq, self.step - 1, 0.1, 0.1 / (seq + 1)))

    def keep(self, *, best: bool = False) -> None:
        """A checkpoint at the newest step."""
        written = checkpoint(self.step - 1, best=best)
        record = written.checkpoint.model_copy(update={"run": self.id})
        written = written.model_copy(update={"checkpoint": record})
        put_checkpoint(self.paths, written)
        self.say(written)

    def begin(self, attempt: int = 1, origin: Origin | None = None) -> None:
        self._hold()
        said = started(self.step, attempt, origin=origin)
        run = said.run.model_copy(update={"id": self.id})
        self.paths.run_file.write_text(run.to_json())
        self.say(said.model_copy(update={"run": run}))

    def use_dataset(self) -> None:
        digest = hashlib.sha256(b"digits").hexdigest()
        data = Dataset(name="digits", digest=digest, samples=12, labels={"a": 5, "b": 7})
        self.say(DatasetUsed(at=moment(self.step), dataset=data))

    def end(self, how: RunStatus = RunStatus.FINISHED) -> None:
        self.say(status(how, self.step - 1, test_accuracy=0.5))
        self.let_go()

    def end_now(self, how: RunStatus) -> None:
        """As `end`, at this very moment: people are not alerted of what is long past."""
        said = status(how, self.step - 1)
        self.say(said.model_copy(update={"at": utc_now()}))
        self.let_go()

    def _hold(self) -> None:
        """Have the run's lock, as a trainer has it while it lives."""
        if self._lock is None:
            self._lock = os.open(self.paths.lock, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """As the kernel does for a trainer that is dead."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def status(self) -> TrackingStatus:
        return read_status(self.paths) or TrackingStatus(mode="none")

    def is_read(self) -> bool:
        """Whether the tracker has handed on all that the log has."""
        return self.status().log_offset == self.log.size

    @property
    def server(self) -> WandbServer:
        assert self._server is not None
        return self._server

    def rows(self) -> list[dict[str, Any]]:
        """What the server has by now."""
        return self.server.rows(self.id)

    def at_server(self) -> Run:
        """The run as the server has it."""
        return self.server.run(self.id)

    # -- what must be there -------------------------------------------------------------------

    def expected(self) -> RecordingTracker:
        """What the log says, followed into memory."""
        tracker = RecordingTracker()
        follower = Follower(lambda _: tracker)
        lines = self.paths.run_log.read_bytes().splitlines()
        follower.feed([parse_record(line) for line in lines])
        tracker.finish(follower.close())
        return tracker

    def assert_all_arrived(self, status: RunStatus = RunStatus.FINISHED) -> None:
        """Compare every row, medium, config value, summary value and artifact at the server."""
        expected, found = self.expected(), self.at_server()
        assert found.overwritten == []
        assert found.gaps == []
        assert [row["_step"] for row in found.rows] == [row.position for row in expected.rows]
        for row, there in zip(expected.rows, found.rows, strict=True):
            self._assert_row(row, there)
        assert found.config["midcourse"] == expected.about
        assert found.config["optimizer"] == {"name": "sgd", "lr": 0.1}
        assert {name: found.summary.get(name) for name in expected.summary} == expected.summary
        assert found.exit_code == (0 if status is RunStatus.FINISHED else 143)
        self._assert_artifacts()
        assert self.server.errors == []

    def _assert_row(self, row: Row, there: dict[str, Any]) -> None:
        for name, value in row.values.items():
            assert there[name] == value, (row.step, name)
        assert (there["step"], there["_timestamp"]) == (row.step, row.time)
        known = {*row.values, "step"}
        strange = {name for name in there if name not in known and not name.startswith("_")}
        shown = {name for name in strange if name.removesuffix("_table") in row.media}
        assert strange == shown, row.step
        for name in row.media:
            self._assert_file(there.get(name) or there[f"{name}_table"])

    def _assert_file(self, reference: dict[str, Any]) -> None:
        names = reference.get("filenames") or [reference["path"]]
        for name in names:
            data = self.at_server().files[name]
            if "sha256" in reference:
                assert hashlib.sha256(data).hexdigest() == reference["sha256"], name
            else:
                assert data, name

    def _assert_artifacts(self) -> None:
        versions = [
            each
            for each in self.server.artifacts
            if each.type in ("model", "journal") and each.state == "COMMITTED"
        ]
        models = [each for each in versions if each.type == "model"]
        for version in models:
            folder = self.paths.checkpoint(version.metadata["name"])
            for name in ("manifest.json", "state.safetensors"):
                assert version.files[name] == (folder / name).read_bytes()
        assert len({version.metadata["name"] for version in models}) == len(models)
        aliases = {alias for version in models for alias in version.aliases}
        assert {"latest", "best"} <= aliases
        assert [each.type for each in versions].count("journal") >= 1
        assert json.dumps(models[0].metadata)


def send_by_hand(paths: RunPaths) -> None:
    """As `midcourse sync` does."""
    command = [*TRACKER, str(paths.folder)]
    subprocess.run(command, check=True, cwd=_ROOT, env=_with_root())


@contextmanager
def trainer(paths: RunPaths) -> Iterator[int]:
    """A process that has a tracker, and is killed in the end; the tracker's process id."""
    with subprocess.Popen(
        [sys.executable, "-c", _TRAINER, str(paths.home), paths.folder.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_with_root(),
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def _with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT)}
