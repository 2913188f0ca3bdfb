"""Two minutes of killing: at the end every run is where it should be, none twice, none lost.

Killed at random are the workers and the master of the web server, the reconciler, the supervisor
with all that belongs to it, trainers, and the connections to the database, while people command.
`MIDCOURSE_CHAOS_SECONDS` is how long on each database; `MIDCOURSE_CHAOS_SEED` repeats a schedule.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from databases import database_url
from served import CHECKOUT, Served, alive, children, free_port, named
from sqlalchemy import select, text

from control_api.database import Database
from control_api.tables import AttemptRow, CommandRow, RunRow
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import FINAL_STATES, CommandState
from midcourse.contract.runs import ENDED, RunStatus

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("MIDCOURSE_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("MIDCOURSE_CHAOS_SEED", "0")) or random.randrange(1, 2**31)
SLOTS = 3
QUIET, NOISY = 3, 5
STEPS, PACE = 300, 0.02
SETTLE_SECONDS = 300.0
TRAINER = Path(__file__).parents[1] / "chaos_trainer.py"


class Chaos:
    """A server, runs, people who command some of them, and someone who kills."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home, self.random = home, random.Random(seed)
        self.database = Database(database_url(home))
        self.is_sqlite = self.database.engine.dialect.name == "sqlite"
        self.port = free_port()
        self.began = time.monotonic()
        self.schedule: list[str] = []
        self.quiet: list[str] = []
        self.noisy: list[str] = []
        self.stopped: set[str] = set()
        self.forked: list[str] = []
        self.accepted: list[tuple[str, int]] = []
        self.keys = 0
        self.served = self.serve()

    def serve(self) -> Served:
        return Served(
            self.home,
            self.port,
            changes={
                "trainer_command": (sys.executable, str(TRAINER)),
                "futile_attempts": 10_000,  # to be killed is not the run's fault
                "restart_seconds": 0.1,
            },
            MIDCOURSE_SLOTS=f"cpu:{SLOTS}",
            MIDCOURSE_WORKERS="2",
            WANDB_MODE="disabled",
            PYTHONPATH=os.pathsep.join([str(TRAINER.parent), str(CHECKOUT)]),
            OMP_NUM_THREADS="1",
        )

    def note(self, what: str) -> None:
        self.schedule.append(f"{time.monotonic() - self.began:7.2f} {what}")

    # -- people -------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """As a careful client: the same request again, under its key, until it is answered."""
        self.keys += 1
        headers = {**self.served.headers, "Idempotency-Key": f"chaos-{self.keys}"}
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                answer = requests.request(
                    method,
                    f"{self.served.url}/api/v1{path}",
                    json=body,
                    headers=headers,
                    timeout=20,
                )
                if answer.status_code not in (503, 429):
                    assert answer.status_code < 500, f"{method} {path}: {answer.text}"
                    return answer
            assert time.monotonic() < deadline, f"{method} {path} is never answered"
            self.keep_serving()
            time.sleep(0.1)

    def submit(self, seed: int) -> str:
        config = {"seed": seed, "steps": STEPS, "pace": PACE}
        answer = self.ask("POST", "/runs", {"config": config, "experiment": "chaos"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def command(self) -> None:
        """Command a run at random; what is refused, in order, is no one's loss."""
        run = self.random.choice(self.noisy)
        verb = self.random.choices(
            ["pause", "resume", "set", "suspend", "checkpoint", "fork", "stop"],
            [3, 6, 4, 2, 2, 1, 0.5],
        )[0]
        if verb == "set":
            rate = round(self.random.uniform(0.01, 0.1), 3)
            answer = self.ask("PATCH", f"/runs/{run}/params", {"optimizer.lr": rate})
        else:
            answer = self.ask("POST", f"/runs/{run}/{verb}", {} if verb == "fork" else None)
        self.note(f"{verb} {run}: {answer.status_code}")
        if not answer.ok:
            assert answer.status_code in (404, 409, 422), answer.text
        elif verb == "fork":
            self.forked.append(str(answer.json()["id"]))
        else:
            self.accepted.append((run, answer.json()["seq"]))
            if verb == "stop":
                self.stopped.add(run)

    # -- killing ------------------------------------------------------------------------------

    def kill_one(self) -> None:
        kill = self.random.choices(
            [
                self.kill_worker,
                self.kill_web,
                self.kill_reconciler,
                self.kill_supervisor,
                self.kill_trainer,
                self.cut_database,
            ],
            [3, 1, 4, 1, 5, 3],
        )[0]
        kill()

    def _kill(self, what: str, pids: list[int]) -> None:
        if pids:
            pid = self.random.choice(sorted(pids))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.note(f"killed {what} {pid}")

    def kill_worker(self) -> None:
        web = named(self.served.process.pid, "midcourse-web")
        self._kill("a worker", [each for pid in web for each in children(pid)])

    def kill_web(self) -> None:
        self._kill("the web server", named(self.served.process.pid, "midcourse-web"))

    def kill_reconciler(self) -> None:
        self._kill("the reconciler", named(self.served.process.pid, "midcourse-reconciler"))

    def kill_supervisor(self) -> None:
        self._kill("the supervisor", [self.served.process.pid])
        self.served.process.wait()

    def kill_trainer(self) -> None:
        self._kill("a trainer", [pid for pids in self.trainers().values() for pid in pids])

    def cut_database(self) -> None:
        if self.is_sqlite:  # its connections are files: what can happen is that someone holds it
            with self.database.writing() as session:
                session.execute(text("SELECT 1"))
                time.sleep(self.random.uniform(0.2, 2.0))
        else:
            with self.database.engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
        self.note("cut the database")

    def keep_serving(self) -> None:
        """What a service manager does."""
        if self.served.process.poll() is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.served.process.pid, signal.SIGKILL)
            self.served = self.serve()
            self.note("started the server again")

    # -- looking ------------------------------------------------------------------------------

    def lives(self, run: str) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            lines = (self.home / "lives" / run).read_text().splitlines()
            return [json.loads(line) for line in lines]
        return []

    def trainers(self) -> dict[str, list[int]]:
        """The living trainers of each run."""
        folder = self.home / "lives"
        runs = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return {
            run: [life["pid"] for life in self.lives(run) if alive(life["pid"], life["began"])]
            for run in runs
        }

    def look(self) -> None:
        """What must hold at every moment."""
        living = self.trainers()
        twice = {run: pids for run, pids in living.items() if len(pids) > 1}
        assert not twice, f"two trainers of one run: {twice}"
        assert sum(map(len, living.values())) <= SLOTS, f"more trainers than slots: {living}"

    def rows(self, table: Any) -> list[Any]:
        with self.database.reading() as session:
            return list(session.scalars(select(table)))

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not holds():
            self.look()
            self.keep_serving()
            states = {row.id: f"{row.status} {row.desired} {row.step}" for row in self.rows(RunRow)}
            assert time.monotonic() < deadline, f"{what} never came: {states}"
            time.sleep(0.2)

    def close(self) -> None:
        self.served.die()
        for pids in self.trainers().values():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.database.close()


def undisturbed(folder: Path, seed: int) -> str:
    """The state hash at the end of a run that nobody disturbs, without an API."""
    folder.mkdir()
    params = folder / "params.json"
    params.write_text(json.dumps({"seed": seed, "steps": STEPS, "pace": 0.0}))
    environ = {name: value for name, value in os.environ.items() if "MIDCOURSE" not in name}
    subprocess.run(
        [sys.executable, str(TRAINER), str(params)],
        env=environ
        | {
            "MIDCOURSE_HOME": str(folder),
            "WANDB_MODE": "disabled",
            "PYTHONPATH": os.pathsep.join([str(TRAINER.parent), str(CHECKOUT)]),
            "OMP_NUM_THREADS": "1",
        },
        check=True,
        timeout=120,
    )
    [run] = (folder / "runs").iterdir()
    return last_hash(folder, run.name)


def last_hash(home: Path, run: str) -> str:
    store = CheckpointStore(RunPaths(home, run))
    return store.manifest(store.names()[-1]).checkpoint.state_hash


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    home = tmp_path / "home"
    home.mkdir()
    made = Chaos(home, SEED)
    yield made
    made.close()


def test_two_minutes_of_killing(chaos: Chaos, tmp_path: Path) -> None:
    try:
        _cause_trouble(chaos)
        _settle(chaos)
        _judge(chaos, tmp_path)
    except BaseException:
        print(f"MIDCOURSE_CHAOS_SEED={SEED}", *chaos.schedule, sep="\n")
        raise


def _cause_trouble(chaos: Chaos) -> None:
    chaos.quiet = [chaos.submit(seed) for seed in range(QUIET)]
    chaos.noisy = [chaos.submit(100 + seed) for seed in range(NOISY)]
    deadline = time.monotonic() + SECONDS
    next_kill = next_command = time.monotonic()
    while (now := time.monotonic()) < deadline:
        chaos.look()
        chaos.keep_serving()
        if now >= next_kill:
            chaos.kill_one()
            next_kill = now + chaos.random.uniform(0.5, 4.0)
        if now >= next_command:
            chaos.command()
            next_command = now + chaos.random.uniform(0.2, 1.5)
        time.sleep(0.05)


def _settle(chaos: Chaos) -> None:
    """Nobody kills any more; who was told to wait goes on, and all train to their end."""
    chaos.note("the killing is over")
    for run in chaos.noisy:
        answer = chaos.ask("POST", f"/runs/{run}/resume")
        assert answer.status_code in (202, 200, 409), answer.text
    chaos.until(
        "the end of all runs", lambda: all(row.status in ENDED for row in chaos.rows(RunRow))
    )
    chaos.until("the end of all trainers", lambda: not any(chaos.trainers().values()))
    chaos.until(
        "the end of all attempts",
        lambda: all(row.ended_at is not None for row in chaos.rows(AttemptRow)),
    )


def _judge(chaos: Chaos, folder: Path) -> None:
    runs = {row.id: row for row in chaos.rows(RunRow)}
    commands = {(row.run_id, row.seq): row for row in chaos.rows(CommandRow)}
    assert set(runs) == {*chaos.quiet, *chaos.noisy, *chaos.forked}, "a run was lost, or made twice"
    for run in chaos.quiet:
        assert runs[run].status is RunStatus.FINISHED, (run, runs[run].error)
    for run in chaos.noisy:
        expected = (
            {RunStatus.FINISHED, RunStatus.STOPPED}
            if run in chaos.stopped
            else {RunStatus.FINISHED}
        )
        assert runs[run].status in expected, (run, runs[run].error)
    for run in chaos.forked:
        if runs[run].status is RunStatus.FAILED:  # its parent ended before its checkpoint
            asked = commands[runs[run].parent_id, runs[run].parent_seq]
            assert asked.state is not CommandState.APPLIED, runs[run].error
        else:
            assert runs[run].status is RunStatus.FINISHED, (run, runs[run].status)
    for key in chaos.accepted:
        assert commands[key].state in FINAL_STATES, (key, commands[key].state)
        assert commands[key].receipt is not None
    for run in runs:
        lives = chaos.lives(run)
        attempts = [life["attempt"] for life in lives]
        assert len(attempts) == len(set(attempts)), f"an attempt at {run} was started twice"
        assert all(not life["beside"] for life in lives), f"two trainers of {run}: {lives}"
    for seed, run in enumerate(chaos.quiet):
        # Nothing that was done to it may have changed a bit of it.
        expected_hash = undisturbed(folder / f"undisturbed-{seed}", seed)
        assert last_hash(chaos.home, run) == expected_hash, run
    kills = [line for line in chaos.schedule if "killed" in line or "cut" in line]
    assert len(kills) > SECONDS / 6, "there was not much chaos"
