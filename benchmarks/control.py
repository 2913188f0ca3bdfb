"""A real control API in a process of its own, whose trainers are benchmark programs."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.harness import ROOT, child_environment
from midcourse.contract.runs import ENDED, RunStatus

START_SECONDS = 60.0
_LEAVE_SECONDS = 30.0


class ControlApi:
    """The API, from entering to leaving; its home is a temporary folder."""

    def __init__(self, trainer: str) -> None:
        """Prepare; entering starts.

        Args:
            trainer: the module that is started for each run, with its parameters file.
        """
        self._trainer = trainer
        self._folder = tempfile.TemporaryDirectory(prefix="midcourse-bench-")
        self.home = Path(self._folder.name)

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.control", str(self.home), str(port), self._trainer],
            cwd=ROOT,
            env=child_environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the control API did not start")
            time.sleep(0.05)
        self.token = (self.home / "token").read_text().strip()
        return self

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=5):  # noqa: S310
            return True
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        deadline = time.monotonic() + _LEAVE_SECONDS
        while True:
            try:
                self._folder.cleanup()
            except OSError:  # the run's tracker is still about to end
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """A request with the admin's token; returns the JSON of the answer.

        Raises:
            RuntimeError: the answer is an error; holds its text.
        """
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise RuntimeError(f"{method} {path}: {error.code} {text}") from error

    def console(self, run: str) -> str:
        """What a run's trainer printed."""
        path = self.home / "runs" / run / "console.log"
        return path.read_text() if path.exists() else ""

    def wait_for_end(self, run: str, seconds: float) -> None:
        """Wait until a run is over and its process gone.

        Raises:
            RuntimeError: it did not end in time, or not well.
        """
        deadline = time.monotonic() + seconds
        while (status := self.ask("GET", f"/runs/{run}")["status"]) not in ENDED:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if status not in (RunStatus.FINISHED, RunStatus.STOPPED):
            raise RuntimeError(f"the run is {status}:\n{self.console(run)[-3000:]}")


def main(home: str, port: str, trainer: str) -> None:
    """Serve, as `python -m control_api` does, with another program as trainer."""
    from control_api.database import Database
    from control_api.exits import Exits
    from control_api.lease import new_holder
    from control_api.reconcile import reconcile
    from control_api.serve import listen, serve
    from control_api.settings import Settings
    from control_api.supervisor import Supervisor
    from control_api.tokens import ensure_admin

    settings = Settings(
        home=Path(home),
        port=int(port),
        log_level="ERROR",
        trainer_command=(sys.executable, "-m", trainer),
        trainer_environment=dict(os.environ),
    )
    listener = listen(settings)
    database = Database(settings.database_url)
    try:
        database.migrate()
        with database.writing() as session:
            ensure_admin(session, settings.token_file)
    finally:
        database.close()
    counts = settings.home / "counts"
    counts.mkdir()
    holder = new_holder()
    works = {
        "web": lambda: serve(settings, listener, counts),
        "reconciler": lambda: reconcile(settings, holder),
    }
    Supervisor(works, Exits(settings.exits)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
