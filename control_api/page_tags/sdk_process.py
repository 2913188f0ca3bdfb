"""The process that has W&B's SDK: started when it is needed, asked in lines, killed if it hangs."""

import logging
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from midcourse.contract.errors import MidcourseError
from midcourse.contract.pages import (
    ANSWERS,
    LookAtPages,
    MarkPage,
    PageMarked,
    PagesSeen,
    PageTrouble,
    TroubleKind,
)

ANSWER_SECONDS = 75.0
"""How long an answer may take: the SDK's start, the check of its key, and two requests."""
_MOST_BYTES = 64_000_000
_END_SECONDS = 2.0

log = logging.getLogger(__name__)


class PagesTroubled(MidcourseError):
    """W&B did not do what it was asked; `why` says in which way."""

    def __init__(self, trouble: PageTrouble) -> None:
        super().__init__(trouble.text)
        self.why = trouble.why


class PagesClosed(MidcourseError):
    """Nobody is asked any more: it was told to end."""


class PagesSource(Protocol):
    """Who can be asked about pages."""

    def look(self, request: LookAtPages) -> PagesSeen:
        """What stands on pages.

        Raises:
            PagesTroubled: nothing is known.
            PagesClosed: it was told to end.
        """

    def mark(self, request: MarkPage) -> PageMarked:
        """Write on a page.

        Raises:
            PagesTroubled: it may have been written, or not.
            PagesClosed: so may it.
        """

    def close(self) -> None:
        """End what was started; also from another thread, while an answer is awaited."""


class SdkProcess:
    """One process at a time; the next request after trouble starts another."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Nothing is started yet.

        Args:
            command: what to start.
            folder: where.
            environ: its environment, with the API key.
            seconds: how long an answer may take.
        """
        self._command = list(command)
        self._folder = folder
        self._environ = dict(environ)
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._closed = False
        self._busy = threading.Lock()

    def look(self, request: LookAtPages) -> PagesSeen:
        """See `PagesSource`."""
        answer = self._ask(request)
        if not isinstance(answer, PagesSeen):
            raise self._failed("gave no pages")
        return answer

    def mark(self, request: MarkPage) -> PageMarked:
        """See `PagesSource`."""
        answer = self._ask(request)
        if not isinstance(answer, PageMarked):
            raise self._failed("did not say that it marked a page")
        return answer

    def close(self) -> None:
        """See `PagesSource`."""
        self._closed = True
        if (process := self._process) is not None:
            _kill(process)  # whoever waits for its answer finds that it has ended
        with self._busy:
            self._end()

    def _ask(self, request: LookAtPages | MarkPage) -> PagesSeen | PageMarked:
        try:
            with self._busy:
                said = self._exchange(request.to_json().encode() + b"\n")
            answer = ANSWERS.validate_json(said)
        except OSError as error:
            raise self._failed(f"cannot be spoken to: {error.strerror or error}") from None
        except ValidationError:
            raise self._failed("said what is no answer") from None
        if isinstance(answer, PageTrouble):
            if answer.why is TroubleKind.KEY_REFUSED:
                self._end()  # another key may be in its place by then
            raise PagesTroubled(answer)
        return answer

    def _exchange(self, line: bytes) -> bytes:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        deadline, said = time.monotonic() + self._seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not selector.select(deadline - time.monotonic()):
                    raise self._failed(f"has not answered in {self._seconds:.0f} s")
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part or len(said) > _MOST_BYTES:
                    raise self._failed("ended" if not part else "said more than can be read")
                said += part
        return said

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise PagesClosed
        if self._process is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="midcourse-page-"))
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                # Whatever it and the SDK leave, as they are killed, lies in one place.
                env=self._environ | {"TMPDIR": str(self._scratch)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            if self._closed:  # meanwhile; nobody else knows of the process
                raise self._failed("was told to end")
        return self._process

    def _failed(self, how: str) -> PagesTroubled | PagesClosed:
        """What to raise when the process did not do its part; it is ended."""
        self._end()
        if self._closed:
            return PagesClosed()
        text = f"the process that talks to W&B {how}"
        return PagesTroubled(PageTrouble(why=TroubleKind.AWAY, text=text))

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # the SDK's own service, too
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
