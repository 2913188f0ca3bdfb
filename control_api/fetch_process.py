"""A process that fetches a checkpoint from W&B, from outside: started, looked at, ended."""

import subprocess
import tempfile
from contextlib import ExitStack
from datetime import datetime

from control_api.settings import Settings

END_SECONDS = 2.0
"""How long it may take to clear away what it has; the next fetch clears what it leaves."""


class FetchProcess:
    """One fetch. The process ends when its standard input is closed: with us, whatever befalls us.

    What it says goes to files, so that it never waits for a reader.
    """

    def __init__(self, settings: Settings, source: str, began: datetime) -> None:
        """Start it.

        Args:
            settings: the command and its environment, which has the key.
            source: what to fetch.
            began: now.

        Raises:
            OSError: it cannot be started.
        """
        self.began = began
        with ExitStack() as undo:
            self._output = undo.enter_context(tempfile.TemporaryFile())
            self._errors = undo.enter_context(tempfile.TemporaryFile())
            self._child = subprocess.Popen(
                [*settings.wandb.fetch_command, "--end-with-input", source, str(settings.home)],
                cwd=settings.trainer_folder,
                env=dict(settings.wandb.helper_environment),
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._errors,
                start_new_session=True,  # so that no Ctrl-C of ours reaches it
            )
            self._files = undo.pop_all()

    def exit_code(self) -> int | None:
        """How it ended; None while it lives, negative for a signal."""
        return self._child.poll()

    def output(self) -> bytes:
        """What it said."""
        self._output.seek(0)
        return self._output.read()

    def complaint(self) -> str:
        """The last line of what it said on standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the fetch ended with code {self._child.returncode}"

    def end(self) -> None:
        """Have it clear away what it has so far, if it lives, and end; let go of it."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._files.close()
