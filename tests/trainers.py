"""Training processes that may be killed and started again, and what their runs said."""

import json
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from steered import Plan, train_in_process

from midcourse.contract.paths import RunPaths
from midcourse.contract.records import CommandDone, Metrics, StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.runlog import RunLogReader


class Trainers:
    """Training processes, forked from a server that has torch loaded."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan = plan
        self._context = multiprocessing.get_context("forkserver")
        # The server takes its path from here only; without it each process would load torch anew.
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._context.set_forkserver_preload(["steered_warm"])
        self.folder = folder
        self.result = folder / "result.json"
        self._started: list[BaseProcess] = []

    def start(self, **options: Any) -> BaseProcess:
        usual = {"kill_after": None, "kill_at": None, "run_id": "r1", "plan": self._plan}
        process = self._context.Process(
            target=train_in_process,
            kwargs={"result": self.result, "home": self.folder, **usual, **options},
        )
        process.start()
        self._started.append(process)
        return process

    def run(self, **options: Any) -> int:
        process = self.start(**options)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def outcome(self) -> dict[str, Any]:
        found = json.loads(self.result.read_text())
        return {**found, "losses": {int(step): loss for step, loss in found["losses"].items()}}

    def close(self) -> None:
        for process in self._started:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()


def records(home: Path, run_id: str) -> list[Any]:
    found: list[Any] = []
    reader = RunLogReader(RunPaths(home, run_id).run_log)
    while batch := reader.read():
        found += batch
    return found


def logged_losses(home: Path, run_id: str = "r1") -> dict[int, Any]:
    """The first value of each step, as every reader of the log takes it."""
    losses: dict[int, Any] = {}
    for record in records(home, run_id):
        if isinstance(record, Metrics):
            losses.setdefault(record.step, record.values["train/loss"])
    return losses


def receipts(home: Path, run_id: str = "r1") -> dict[int, tuple[str, int | None, Any, Any]]:
    found: dict[int, tuple[str, int | None, Any, Any]] = {}
    for record in records(home, run_id):
        if isinstance(record, CommandDone):
            receipt = record.receipt
            told = (receipt.state.value, receipt.step, receipt.before, receipt.after)
            assert found.setdefault(receipt.seq, told) == told, "a receipt was told in two ways"
    return found


def finished(home: Path, run_id: str) -> bool:
    """Whether the run has said its last word, be its process killed a moment later."""
    said = [record.status for record in records(home, run_id) if isinstance(record, StatusChanged)]
    return RunStatus.FINISHED in said
