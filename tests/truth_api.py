"""The control API of the truthfulness test: it hands out commands as wires do, more than once."""

import threading
from typing import Any

from fake_api import Api

from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command, Revert, Undo
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CommandDone, LogRecord, parse_record


class SteeringApi(Api):
    """Numbers commands as the real one does, and knows of the run what its log has told."""

    def __init__(self) -> None:
        self.held: set[tuple[str, int]] = set()
        """Commands that lag behind on the wire."""
        self.again: list[Command] = []
        """Commands that are handed out whatever was asked for."""
        self.backwards = False
        """Hand out the last command first."""
        self.reachable = threading.Event()
        self.reachable.set()
        self._read: dict[str, tuple[int, list[LogRecord]]] = {}
        super().__init__()

    # -- the wire -----------------------------------------------------------------------------

    def _commands(self, run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        after = int(query["after"])

        def waiting() -> list[Command]:
            fresh = [
                each
                for each in self.commands
                if each.run == run and each.seq > after and (run, each.seq) not in self.held
            ]
            found = fresh + [each for each in self.again if each.run == run]
            return found[::-1] if self.backwards else found

        with self.news:
            self.news.wait_for(lambda: self.closing or waiting(), float(query["wait"]))
            return 200, {"commands": [each.model_dump(mode="json") for each in waiting()]}

    def cut(self, how: str) -> None:
        """Be out of reach: `refuse` connections, `hang`, or answer with an `error`."""
        self.reachable.clear()
        if how == "refuse":
            self.close()
        elif how == "hang":
            self.trouble = lambda _: (self.reachable.wait(60), (503, {}))[1]
        else:
            self.trouble = lambda _: (500, {})

    def restore(self) -> None:
        """Be in reach again."""
        self.trouble = lambda _: None
        self.reachable.set()
        if self.closing:
            self.open()

    # -- what it knows ------------------------------------------------------------------------

    def issue(self, run: str, action: dict[str, Any], **more: Any) -> Command:
        """Make the next command of a run."""
        seq = 1 + sum(each.run == run for each in self.commands)
        return Command.model_validate(
            {
                "run": run,
                "seq": seq,
                "actor": "ada",
                "accepted_at": utc_now(),
                "action": action,
                **more,
            }
        )

    def told(self, run: str) -> list[LogRecord]:
        """What a run's log has said so far."""
        with self.news:
            offset, records = self._read.get(run, (0, []))
            fresh = bytes(self.logs.get(run, b"")[offset:])
            records += [parse_record(line) for line in fresh.splitlines()]
            self._read[run] = (offset + len(fresh), records)
            return list(records)

    def read_folder(self, paths: RunPaths) -> None:
        """Take from the disk what a trainer that is gone could not send any more."""
        with self.news:
            self.logs[paths.folder.name] = bytearray(paths.run_log.read_bytes())

    def current(self, first: str) -> str:
        """The run that goes on in place of the first one, as far as is known."""
        run = first
        while (successor := self._successor(run)) is not None:
            run = successor
        return run

    def _successor(self, run: str) -> str | None:
        for record in self.told(run):
            if isinstance(record, CommandDone) and record.receipt.state is CommandState.APPLIED:
                action = record.command.action
                if isinstance(action, Revert | Undo):
                    return action.child
        return None
