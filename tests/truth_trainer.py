"""The test's handle on a training process: steps it, kills it, starts it again."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fake_api import TOKEN
from truth_program import train

PATIENCE = 40.0
"""Seconds that anything may take on a busy machine."""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it never did; `what` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.001)


class Tail:
    """Reads a growing file of JSON lines, each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> list[bytes]:
        """The whole lines since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        return data[:end].splitlines()

    def records(self) -> list[Any]:
        """The same, parsed."""
        return [json.loads(line) for line in self.lines()]


class Trainer:
    """One process that trains a run, forked from a server that has torch loaded."""

    def __init__(self, home: Path, api_url: str, run: str, attempt: int) -> None:
        context = multiprocessing.get_context("forkserver")
        # The server takes its path from here only; without it each process would load torch anew.
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        context.set_forkserver_preload(["steered_warm"])
        environment = {
            "MIDCOURSE_API_URL": api_url,
            "MIDCOURSE_RUN_ID": run,
            "MIDCOURSE_RUN_TOKEN": TOKEN,
            "MIDCOURSE_ATTEMPT": str(attempt),
            "WANDB_MODE": "disabled",
        }
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=train, args=(theirs, environment, home))
        self._process.start()
        theirs.close()
        self.attempt = attempt
        self.is_ready = False
        """It waits for the order to take a step."""
        self.is_over = False
        """The run came to its end, in order."""
        self.is_dead = False
        self._closed = self._killed_writer = False
        self.next_step = 0
        self.writer: int | None = None
        """The process id of its checkpoint writer."""

    def look(self) -> None:
        """Take in what the process says.

        Raises:
            AssertionError: the program failed, which no command may bring about.
        """
        if self._closed:
            return
        code = self._process.exitcode  # first: whatever it said, it said before it ended
        with suppress(EOFError, ConnectionError):
            while self._channel.poll():
                said = self._channel.recv()
                assert said[0] != "failed", f"the training died:\n{said[1]}"
                if said[0] == "over":
                    self.is_over = True
                    return
                self.is_ready = True
                _, self.run, self.next_step, self.writer = said
        if code is not None and not self.is_over:
            assert code == -signal.SIGKILL, f"the training ended with {code}"
            self.is_dead, self.is_ready = True, False

    def step(self) -> None:
        """Have it take a step, which it waits for."""
        self.is_ready = False
        self._order("step")

    def strike_at(self, place: str, count: int) -> None:
        """Have it kill itself when it has passed a place so many times."""
        self._order(("strike", place, count))

    def _order(self, order: Any) -> None:
        with suppress(ConnectionError):  # it is dead, as will be seen
            self._channel.send(order)

    def kill(self) -> None:
        """Kill it outright."""
        if self._process.exitcode is None:
            self._process.kill()
        self._process.join()

    def kill_writer(self) -> None:
        """Kill its checkpoint writer, once: what two of them died over is given up."""
        if self.writer is not None and not self._killed_writer:
            self._killed_writer = True
            with suppress(ProcessLookupError):
                os.kill(self.writer, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        if not self._closed:
            self._closed = True
            self.kill()
            self._process.close()
            self._channel.close()
