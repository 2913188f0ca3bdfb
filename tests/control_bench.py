"""A control API on a bench: the real application and database, a launcher without processes, and
a trainer that says what the test tells it to say.
"""

import json
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from databases import database_url

from control_api.app import create_app
from control_api.bell import Bell
from control_api.database import Database
from control_api.launchers.base import (
    Handle,
    LauncherUnreachable,
    LaunchFailed,
    LaunchStatus,
    Remains,
    RunSpec,
)
from control_api.lifecycle import get_run
from control_api.reconciler import Reconciler
from control_api.settings import Settings
from control_api.slots import cpu_slots
from control_api.tokens import ensure_admin
from control_api.wandb_settings import WandbSettings
from midcourse.contract import environment
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import Command
from midcourse.contract.live_parameter import LiveParameter
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import (
    CheckpointDeleted,
    CheckpointWritten,
    CommandDone,
    Metrics,
    Started,
    StatusChanged,
)
from midcourse.contract.runs import Origin, RunFile, RunStatus

_OF_WANDB = {each.name for each in fields(WandbSettings)}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class BenchLauncher:
    """Starts nothing; the test says what became of what was started."""

    name: str = "bench"
    start_seconds: float = 0.0
    started: list[RunSpec] = field(default_factory=list)
    ended: dict[str, int | None] = field(default_factory=dict)
    """Attempt (`run/number`) → exit code."""
    refuses: str | None = None
    stopped: list[tuple[str, bool]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    unreachable: str | None = None
    """Why nobody can say how trainers are."""
    missing: str | None = None
    """What no trainer can start without."""
    goes_away: str | None = None
    """Why it will be unreachable, just when the next trainer is to be started."""

    def submit(self, spec: RunSpec) -> Handle:
        if self.goes_away:
            self.unreachable = self.goes_away
            raise LauncherUnreachable(self.goes_away)
        if self.refuses:
            raise LaunchFailed(self.refuses)
        self.started.append(spec)
        return {"id": f"{spec.run_id}/{spec.attempt}"}

    def find(self, run_id: str, attempt: int) -> Handle | None:
        known = [(spec.run_id, spec.attempt) for spec in self.started]
        return {"id": f"{run_id}/{attempt}"} if (run_id, attempt) in known else None

    def status(self, handle: Handle) -> LaunchStatus:
        if self.unreachable:
            raise LauncherUnreachable(self.unreachable)
        if handle["id"] in self.ended:
            return LaunchStatus(running=False, exit_code=self.ended[handle["id"]])
        return LaunchStatus(running=True)

    def stop(self, handle: Handle, *, force: bool = False) -> None:
        self.stopped.append((handle["id"], force))

    def forget(self, handle: Handle) -> None:
        self.forgotten.append(handle["id"])

    def look(self) -> list[Remains]:
        if self.unreachable:
            raise LauncherUnreachable(self.unreachable)
        return [Remains(spec.run_id, self.find(spec.run_id, spec.attempt)) for spec in self.started]

    def lacks(self) -> str | None:
        return self.missing


class Bench:
    """A control API whose reconciler takes a round when the test says so."""

    def __init__(self, home: Path, **changes: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        usual = {"database_url": database_url(home), "slots": cpu_slots(8)}
        of_wandb = {name: changes.pop(name) for name in [*changes] if name in _OF_WANDB}
        usual["wandb"] = WandbSettings(**of_wandb)
        self.settings = Settings(home=home, **{**usual, **changes})
        self.home = self.settings.home
        self.database = Database(self.settings.database_url, Bell())
        self.database.migrate()
        with self.database.writing() as session:
            self.token = ensure_admin(session, self.settings.token_file)
        self.app = create_app(self.settings, self.database)
        self.client = self.app.test_client()
        self.launcher = BenchLauncher()
        self.clock = datetime.now(UTC)
        self.reconciler = Reconciler(
            self.settings, self.database, self.launcher, now=lambda: self.clock
        )

    def close(self) -> None:
        self.database.close()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """A request with the admin's token; `body` is sent as JSON."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        if body is not None:
            options |= {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        answer = self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any = None, *, expect: int, **options: Any) -> Any:
        answer = self.ask("POST", path, body, **options)
        assert answer.status_code == expect, answer.text
        return answer.json

    def round(self, *, later: float = 0.0) -> None:
        """One round of the reconciler, some seconds later."""
        self.clock += timedelta(seconds=later)
        self.reconciler.reconcile()

    def submit(self, **config: Any) -> "BenchTrainer":
        """A run whose trainer was started."""
        run = self.post("/runs", {"config": config}, expect=201)
        self.round()
        return self.trainer(run["id"])

    def trainer(self, run_id: str) -> "BenchTrainer":
        """The trainer that was last started for a run."""
        spec = [spec for spec in self.launcher.started if spec.run_id == run_id][-1]
        with self.database.reading() as session:
            offset = get_run(session, run_id).log_offset
        token = spec.environment[environment.RUN_TOKEN]
        return BenchTrainer(self, run_id, spec.attempt, token, offset)


@dataclass
class BenchTrainer:
    """What a trainer says: through the link, or into its log for the reconciler to find."""

    bench: Bench
    run: str
    attempt: int
    token: str
    offset: int = 0

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.bench.home, self.run)

    def as_child(self, run_id: str) -> "BenchTrainer":
        """The same process, after a revert."""
        return replace(self, run=run_id, offset=0)

    def link(self, method: str, what: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {options.pop('token', self.token)}"}
        path = f"/api/v1/runs/{self.run}/link/{what}"
        return self.bench.client.open(path, method=method, headers=headers, **options)

    def ship(self, data: bytes, *, offset: int | None = None, attempt: int | None = None) -> Any:
        where = self.offset if offset is None else offset
        who = self.attempt if attempt is None else attempt
        return self.link("POST", f"report?attempt={who}&offset={where}", data=b"\n" + data)

    def say(self, *records: Any) -> None:
        """Ship records; they must be taken."""
        answer = self.ship(lines(*records))
        assert answer.status_code == 200, answer.text
        self.offset = answer.json["next_offset"]

    def write(self, *records: Any, torn: bytes = b"") -> None:
        """Write records into the log file, which nobody ships."""
        self.paths.run_log.parent.mkdir(parents=True, exist_ok=True)
        with self.paths.run_log.open("ab") as file:
            file.write(lines(*records) + torn)

    def poll(self, *, after: int = 0, wait: float = 0.0) -> list[dict[str, Any]]:
        answer = self.link("GET", f"commands?attempt={self.attempt}&after={after}&wait={wait}")
        assert answer.status_code == 200, answer.text
        return answer.json["commands"]

    def beat(self, *, attempt: int | None = None, **changes: Any) -> Any:
        beat = {"status": "running", "step": 7, "epoch": 1} | changes
        who = self.attempt if attempt is None else attempt
        data = json.dumps(beat).encode() + b"\n"
        return self.link("POST", f"report?attempt={who}&offset=0", data=data)

    def end(self, exit_code: int | None) -> None:
        """The process ends."""
        self.bench.launcher.ended[f"{self.run}/{self.attempt}"] = exit_code

    def started(
        self, *, next_step: int = 0, origin: Origin | None = None, **values: Any
    ) -> Started:
        own = LiveParameter(name="mixup", type="number", ge=0.0, le=1.0)
        return Started(
            at=NOW,
            attempt=self.attempt,
            run=RunFile(id=self.run, experiment="digits", seed=0, origin=origin),
            next_step=next_step,
            total_steps=100,
            parameters=[*BUILT_IN.values(), own],
            values={"optimizer.lr": 0.1, "mixup": 0.2} | values,
        )

    def checkpoint(self, name: str = "step-9", *, best: bool = False) -> CheckpointWritten:
        """Put a checkpoint's folder on disk, and say so."""
        step = -1 if name == "initial" else int(name.removeprefix("step-"))
        self.paths.checkpoint(name).mkdir(parents=True)
        (self.paths.checkpoint(name) / "manifest.json").write_text("{}")
        record = CheckpointRecord(
            run=self.run,
            name=name,
            step=step,
            reason="schedule",
            state_hash="a" * 64,
            bytes=10,
            created_at=NOW,
            best=best,
        )
        return CheckpointWritten(at=NOW, checkpoint=record)

    def done(self, command: dict[str, Any], state: str = "applied", **receipt: Any) -> CommandDone:
        """The receipt of a command, as `poll` gave it."""
        return CommandDone(
            at=NOW,
            command=Command.model_validate(command),
            receipt=Receipt(
                run=self.run, seq=command["seq"], state=CommandState(state), at=NOW, **receipt
            ),
        )

    def own(self, seq: int, action: dict[str, Any], **told: Any) -> CommandDone:
        """The receipt of a command that the run gave itself, or began with."""
        actor = told.pop("actor", "policy:bench")
        command = {
            "run": self.run,
            "seq": seq,
            "actor": actor,
            "accepted_at": told.pop("at", NOW).isoformat(),
            "action": action,
        }
        return self.done(command, **told)


def metrics(step: int, **values: Any) -> Metrics:
    return Metrics(time=0.0, step=step, values=values)


def status(word: str, **more: Any) -> StatusChanged:
    return StatusChanged(at=datetime.now(UTC), status=RunStatus(word), **more)


def deleted(name: str) -> CheckpointDeleted:
    return CheckpointDeleted(at=NOW, name=name)


def lines(*records: Any) -> bytes:
    return b"".join(record.to_json().encode() + b"\n" for record in records)
