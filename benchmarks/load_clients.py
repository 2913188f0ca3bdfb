"""The clients of `control_load`: simulated trainers, and people who read and command.

`python -m benchmarks.load_clients trainers|users PLAN`: says `ready` when the first requests are
answered, goes on until its standard input ends, and then says what it measured as JSON.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.connection import Connection
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.commands import Command
from midcourse.contract.link import LONG_POLL_SECONDS, Heartbeat
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import CommandDone, Started
from midcourse.contract.runs import RunFile, RunStatus

METRICS = (
    *("train/loss", "train/accuracy", "optimizer.lr", "norm/gradient", "norm/weights"),
    *("norm/update", "data/samples", "time/step", "time/data", "train/confidence"),
)
THINK_SECONDS = 2.0
"""A person does something every two seconds: these are busy people."""
COMMAND_SHARE = 0.2


@dataclass
class Measured:
    """What one process of clients has seen; only what begins in the measuring time counts."""

    begin: float = float("inf")
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """What was asked → how long each took."""
    errors: list[str] = field(default_factory=list)
    commands: dict[str, float] = field(default_factory=dict)
    """`run/seq` → when it was sent, or came to the trainer: a clock that processes share."""
    late: list[float] = field(default_factory=list)
    """How long after its time each report was sent: the client's own doing."""

    def note(self, what: str, began: float) -> None:
        """Something that began then has just ended well."""
        if began >= self.begin:
            self.seconds.setdefault(what, []).append(time.monotonic() - began)

    def fail(self, text: str) -> None:
        """Something went wrong, whenever it was."""
        if len(self.errors) < 1000:
            self.errors.append(text)

    def told(self) -> str:
        """All of it, as JSON."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return json.dumps(vars(self) | {"begin": 0, "cpu": usage.ru_utime + usage.ru_stime})


class Trainer:
    """One live run: a report each second, and a long-poll that is always open."""

    def __init__(self, plan: dict[str, Any], run: str, token: str, measured: Measured) -> None:
        self.run = run
        self.measured = measured
        self._reports = Connection(plan["port"], token)
        self._polls = Connection(plan["port"], token)
        self._path = f"/api/v1/runs/{run}/link/".encode()
        self._offset = 0
        self._step = 0
        self._seq = 0
        self._receipts: list[bytes] = []

    async def start(self) -> None:
        """Say what the run is."""
        started = Started(
            at=datetime.now(UTC),
            attempt=1,
            run=RunFile(id=self.run, experiment="load", seed=0),
            next_step=0,
            total_steps=10**9,
            parameters=list(BUILT_IN.values()),
            values={"optimizer.lr": 0.1},
        )
        await self._report(started.to_json().encode() + b"\n")

    async def report_on(self, first: float) -> None:
        """Report each second, however long the answers take."""
        due = first
        while True:
            await asyncio.sleep(due - time.monotonic())
            began = time.monotonic()
            if due >= self.measured.begin:
                self.measured.late.append(began - due)
            self._step += 1
            values = ",".join(f'"{name}":{random.random():.6f}' for name in METRICS)
            line = f'{{"type":"metrics","time":{time.time():.3f},"step":{self._step},"values":{{'
            receipts, self._receipts = b"".join(self._receipts), []
            try:
                await self._report(receipts + f"{line}{values}}}}}\n".encode())
            except OSError as error:
                self.measured.fail(f"report: {error!r}")
            self.measured.note("report", began)
            due = max(due + 1.0, time.monotonic() - 5.0)

    async def _report(self, lines: bytes) -> None:
        beat = Heartbeat(
            status=RunStatus.RUNNING, step=self._step, epoch=0, steps_per_second=1.0
        ).to_json()
        status, answer = await self._reports.ask(
            b"POST",
            self._path + b"report?attempt=1&offset=%d" % self._offset,
            beat.encode() + b"\n" + lines,
        )
        expected = self._offset + len(lines)
        if status != 200 or (found := json.loads(answer)["next_offset"]) != expected:
            self.measured.fail(f"report: {status} {answer[:300]!r}")
            found = json.loads(answer).get("next_offset", self._offset)
        self._offset = found

    async def poll(self) -> None:
        """Wait for commands; each has its receipt in the next report."""
        while True:
            path = self._path + b"commands?attempt=1&after=%d&wait=%d" % (
                self._seq,
                LONG_POLL_SECONDS,
            )
            try:
                status, answer = await self._polls.ask(b"GET", path)
            except OSError as error:
                self.measured.fail(f"poll: {error!r}")
                await asyncio.sleep(1.0)
                continue
            now = time.monotonic()
            if status != 200:
                self.measured.fail(f"poll: {status} {answer[:300]!r}")
                await asyncio.sleep(1.0)
                continue
            for given in json.loads(answer)["commands"]:
                command = Command.model_validate(given)
                self._seq = command.seq
                self.measured.commands[f"{self.run}/{command.seq}"] = now
                self._receipts.append(self._receipt(command))

    def _receipt(self, command: Command) -> bytes:
        at = datetime.now(UTC)
        receipt = Receipt(
            run=self.run,
            seq=command.seq,
            state=CommandState.APPLIED,
            step=self._step,
            before={"optimizer.lr": 0.1},
            after=dict(command.action.changes),
            at=at,
        )
        return CommandDone(at=at, command=command, receipt=receipt).to_json().encode() + b"\n"


class User:
    """A person: reads this and that, and now and then changes a run."""

    def __init__(self, plan: dict[str, Any], number: int, measured: Measured) -> None:
        self._connection = Connection(plan["port"], plan["token"])
        self._runs: list[str] = list(plan["runs"])
        self._random = random.Random(number)
        self.measured = measured

    async def work(self) -> None:
        """Go on for ever."""
        reads: list[Callable[[], Awaitable[None]]] = [
            lambda: self._read("list", "/runs?limit=50"),
            lambda: self._read("list by status", "/runs?status=running&limit=20"),
            lambda: self._read("run", f"/runs/{self._run()}"),
            lambda: self._read("metrics", f"/runs/{self._run()}/metrics?max_points=1000"),
            lambda: self._read("params", f"/runs/{self._run()}/params"),
            lambda: self._read("commands", f"/runs/{self._run()}/commands"),
            lambda: self._read("lineage", f"/runs/{self._run()}/lineage"),
        ]
        while True:
            await asyncio.sleep(self._random.expovariate(1 / THINK_SECONDS))
            try:
                if self._random.random() < COMMAND_SHARE:
                    await self._command()
                else:
                    await self._random.choice(reads)()
            except OSError as error:
                self.measured.fail(f"user: {error!r}")

    def _run(self) -> str:
        return self._random.choice(self._runs)

    async def _read(self, what: str, path: str) -> None:
        began = time.monotonic()
        status, answer = await self._connection.ask(b"GET", f"/api/v1{path}".encode())
        if status != 200:
            self.measured.fail(f"{what}: {status} {answer[:300]!r}")
        self.measured.note(what, began)

    async def _command(self) -> None:
        run = self._run()
        body = json.dumps({"optimizer.lr": round(self._random.uniform(0.01, 0.1), 6)}).encode()
        began = time.monotonic()
        status, answer = await self._connection.ask(
            b"PATCH",
            f"/api/v1/runs/{run}/params".encode(),
            body,
            b"Content-Type: application/json\r\n",
        )
        if status != 202:
            self.measured.fail(f"command: {status} {answer[:300]!r}")
            return
        self.measured.note("command", began)
        if began >= self.measured.begin:
            self.measured.commands[f"{run}/{json.loads(answer)['seq']}"] = began


async def _trainers(plan: dict[str, Any], measured: Measured) -> list[Awaitable[None]]:
    trainers = [Trainer(plan, run, token, measured) for run, token in plan["runs"].items()]
    for start in range(0, len(trainers), 20):
        await asyncio.gather(*(trainer.start() for trainer in trainers[start : start + 20]))
    first = time.monotonic() + 1.0
    reports = [
        trainer.report_on(first + number / len(trainers)) for number, trainer in enumerate(trainers)
    ]
    return [*reports, *(trainer.poll() for trainer in trainers)]


async def _users(plan: dict[str, Any], measured: Measured) -> list[Awaitable[None]]:
    return [User(plan, number, measured).work() for number in range(plan["users"])]


async def main(kind: str, plan: dict[str, Any]) -> None:
    """Work until standard input ends; a line on it is the time at which measuring begins."""
    measured = Measured()
    work = await (_trainers if kind == "trainers" else _users)(plan, measured)
    tasks = [asyncio.ensure_future(each) for each in work]
    for task in tasks:
        task.add_done_callback(lambda task: _note_failure(task, measured))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        measured.begin = float(line)
    print(measured.told(), flush=True)
    for task in tasks:
        task.cancel()


def _note_failure(task: "asyncio.Future[None]", measured: Measured) -> None:
    if not task.cancelled() and (error := task.exception()):
        measured.fail(f"a client broke down: {error!r}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
