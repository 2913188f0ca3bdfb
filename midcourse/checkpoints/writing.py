"""The trainer's end of the checkpoint writer: orders go out, callbacks come when they are done."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midcourse.checkpoints.capture import Capture, SharedMemory
from midcourse.checkpoints.writer import MESSAGE_BYTES
from midcourse.contract.base import strict_json_loads
from midcourse.contract.checkpoints import Manifest
from midcourse.fence import Fence

logger = logging.getLogger(__name__)

_TRIES = 2
_LONGEST_ORDER = MESSAGE_BYTES - 2000
"""The answer holds the manifest too, and hashes besides."""
_MAX_WAITING = 2
"""More captured states than this would eat the host's memory: the loop then waits for the disk."""

_ROOM = 1 << 16

Done = Callable[[Manifest | None, str | None], None]
"""Called with the manifest, or with why it could not be written; on the writer's thread."""


@dataclass
class _Order:
    message: bytes
    capture: Capture
    done: Done
    tries: int = 1
    sent: bool = False
    """Not before its bytes have all arrived in the memory that is sent."""


class WriterProcess:
    """One writer process, restarted if it dies; orders it had not answered are given again."""

    def __init__(self, lock_descriptor: int, fence: Fence | None = None) -> None:
        """Start the process.

        Args:
            lock_descriptor: the run's lock, which the writer holds too, so that the run is not
                free before the last write is over.
            fence: looked at before a checkpoint gets its name; a later attempt's stay.
        """
        self._lock_descriptor = lock_descriptor
        self._fence = fence
        self._orders: dict[int, _Order] = {}
        self._spare: list[SharedMemory] = []
        self._changed = threading.Condition()
        self._numbers = 0
        self._closing = False
        self._given_up: str | None = None
        """Why there is no writer any more, nor will be."""
        self._start()
        self._listener = threading.Thread(target=self._listen, name="midcourse-checkpoints")
        self._listener.daemon = True
        self._listener.start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            self._process = subprocess.Popen(
                # `-P`: what lies in the working directory is not ours to import.
                [sys.executable, "-P", "-m", "midcourse.checkpoints.writer", str(theirs.fileno())],
                pass_fds=(theirs.fileno(), self._lock_descriptor),
                stdin=subprocess.DEVNULL,
                env=child_environment(),
            )
            undo.pop_all()
        self._channel = ours

    def capture(self, tree: Any) -> Capture:
        """Copy a state to host memory; waits first while two earlier ones are still unwritten."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._orders) < _MAX_WAITING)
        return Capture(tree, self._memory)

    def _memory(self, size: int) -> SharedMemory:
        """Memory of an earlier capture if it is large enough."""
        with self._changed:
            while self._spare:
                spare = self._spare.pop()
                if spare.size >= size:
                    return spare
                spare.close()
        # With room to grow: a step of one more digit must not cost a first touch of all of it.
        return SharedMemory(size + size // 32 + _ROOM)

    def prepare(self, size: int) -> None:
        """Reserve memory for a capture of about `size` bytes; not on the training thread.

        Where it is not called, the first capture does it, and is several times as slow.
        """
        with contextlib.suppress(OSError):  # whoever needs it is told
            memory = SharedMemory(size)
            with self._changed:
                self._spare.append(memory)

    def write(
        self,
        capture: Capture,
        folder: Path,
        manifest: Manifest,
        run_log: Path,
        done: Done,
        first: Callable[[], object] = lambda: None,
    ) -> None:
        """Have a captured state written to `folder`; returns at once.

        Args:
            capture: what to write.
            folder: the checkpoint's final place.
            manifest: complete but for hashes and sizes.
            run_log: brought to the disk before the checkpoint is there.
            done: called with the outcome.
            first: done before the writing begins, such as bringing the run log up to the capture's
                step; on another thread if the capture is on its way from a device still, as then
                this may have to wait for the device too.
        """
        with self._changed:
            self._numbers += 1
            number = self._numbers
            message = {
                "number": number,
                "folder": str(folder),
                "tensors_size": capture.tensors_size,
                "state_size": capture.state_size,
                "manifest": manifest.to_json(),
                "run_log": str(run_log),
                "fence": [str(self._fence.folder), self._fence.name] if self._fence else None,
            }
            order = _Order(json.dumps(message).encode(), capture, done)
            self._orders[number] = order
            hopeless = self._given_up
            if len(order.message) > _LONGEST_ORDER:
                hopeless = f"its manifest would be longer than {_LONGEST_ORDER} bytes"
        if hopeless is not None:
            self._finish(number, None, hopeless)
        elif capture.is_whole:
            self._begin(number, order, first)
        else:
            threading.Thread(
                target=self._begin, args=(number, order, first), name="midcourse-capture"
            ).start()

    def _begin(self, number: int, order: _Order, first: Callable[[], object]) -> None:
        """Give the order to the writer as soon as its bytes are there."""
        try:
            order.capture.wait()
            first()
        except Exception as error:
            self._finish(number, None, f"the state could not be captured: {error}")
            return
        with self._changed:
            hopeless = self._given_up
            if hopeless is None:
                self._send(order)
        if hopeless is not None:
            self._finish(number, None, hopeless)

    def _send(self, order: _Order) -> None:
        order.sent = True
        # A writer that has died is seen by the listener too, which starts another.
        with contextlib.suppress(OSError):
            socket.send_fds(self._channel, [order.message], [order.capture.shared.descriptor])

    def _listen(self) -> None:
        reason = "the checkpoint writer was told to end"
        try:
            while message := self._receive():
                answer = strict_json_loads(message)
                text = answer.get("manifest")
                manifest = Manifest.model_validate(strict_json_loads(text)) if text else None
                self._finish(answer["number"], manifest, answer.get("error"))
        except Exception as error:  # whoever waits for a checkpoint must not wait for ever
            logger.exception("no checkpoints can be written any more")
            reason = f"the checkpoint writer cannot be reached: {error}"
        with self._changed:
            self._given_up = reason
            left = [number for number, order in self._orders.items() if order.sent]
        for number in left:
            self._finish(number, None, reason)

    def _receive(self) -> bytes:
        """The next answer; empty when the writer was told to go and is gone."""
        while True:
            try:
                message = self._channel.recv(MESSAGE_BYTES)
            except OSError:
                message = b""
            if message or not self._restart():
                return message

    def _restart(self) -> bool:
        """Replace a writer that is gone; False when it was told to go."""
        with self._changed:
            self._channel.close()
            code = self._process.wait()
            if self._closing and not self._orders:
                return False
            given_up = [number for number, order in self._orders.items() if order.tries >= _TRIES]
            self._start()
            # Under the same lock: an order that comes now must not be given twice.
            for number, order in self._orders.items():
                if order.sent and number not in given_up:
                    order.tries += 1
                    self._send(order)
        for number in given_up:
            self._finish(number, None, f"the checkpoint writer died twice (exit code {code})")
        return True

    def _finish(self, number: int, manifest: Manifest | None, error: str | None) -> None:
        order = self._orders[number]
        try:
            order.done(manifest, error)
        except Exception:  # the order is over all the same, and others wait behind it
            logger.exception("what follows a checkpoint failed")
        finally:
            with self._changed:
                del self._orders[number]
                self._spare.append(order.capture.shared)
                self._changed.notify_all()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until every order is answered and its callback has run; False if time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._orders, timeout)

    def close(self) -> None:
        """Finish what was ordered, then end the process."""
        self.drain()
        with self._changed:
            self._closing = True
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        for memory in self._spare:
            memory.close()
        self._spare.clear()


def child_environment() -> dict[str, str]:
    """The environment for a helper process: ours, able to import midcourse, without secrets."""
    names = {"MIDCOURSE_RUN_TOKEN", "WANDB_API_KEY", "WANDB_TOKEN"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    root = Path(__file__).resolve().parents[2]
    if root.name not in ("site-packages", "dist-packages"):  # those are found without help
        known = environment.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = os.pathsep.join(part for part in (str(root), known) if part)
    return environment
