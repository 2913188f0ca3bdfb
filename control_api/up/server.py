"""The control API as a child process."""

import subprocess
import sys
import time
from pathlib import Path

import requests

from control_api.settings import Settings
from midcourse.contract.errors import MidcourseError

READY_SECONDS = 60.0
STOP_SECONDS = 25.0
LOG_FILE = "control_api.log"
URL_FILE = "url"
"""In the home, beside the token: where `midcourse` finds the API of this machine."""


class NotServing(MidcourseError):
    """The control API did not start; the text is what it said."""


class Server:
    """`python -m control_api`, started and stopped; its log goes to `<home>/control_api.log`."""

    def __init__(self, settings: Settings) -> None:
        """Start it and wait until it answers.

        Raises:
            NotServing: it ended instead, or never answered.
        """
        self.settings = settings
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
            self._log = settings.home / LOG_FILE
            log = self._log.open("ab")
        except OSError as error:
            raise NotServing(
                f"The folder {settings.home} cannot be written ({error.strerror}); "
                "set MIDCOURSE_HOME to one that can."
            ) from None
        with log:
            start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "control_api", f"--port={settings.port}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # it greets with the admin's token: not for a log
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours; we stop it in order
            )
        try:
            self._wait_until_ready(start)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, log_start: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        probe = requests.Session()
        probe.trust_env = False  # no proxy has a say on the loopback
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NotServing(_last_words(self._log, log_start))
            try:
                if probe.get(f"{self.settings.url}/healthz", timeout=1).ok:
                    (self.settings.home / URL_FILE).write_text(f"{self.settings.url}\n")
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise NotServing(f"The control API does not answer; see {self._log}.")

    def token(self) -> str:
        """The admin's token.

        Raises:
            NotServing: its file is gone.
        """
        try:
            return self.settings.token_file.read_text().strip()
        except OSError as error:
            raise NotServing(
                f"The admin's token cannot be read from {self.settings.token_file} "
                f"({error.strerror})."
            ) from None

    def wait(self) -> None:
        """Serve until the server ends."""
        self._process.wait()

    def stop(self) -> None:
        """End it in order; trainers train on, or have the time to end that the settings give."""
        patience = 0.0 if self.settings.trainers_stay else self.settings.obey_seconds
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS + patience)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self._process.kill()
                self._process.wait()


def _last_words(log: Path, start: int) -> str:
    """The last line that a server wrote since `start`, which says why it ended."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"The control API ended without a word; see {log}."
