"""What is read as it comes: events, logs, journals, the audit."""

import codecs
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import requests

from midcourse.client.errors import NotReachable
from midcourse.client.server_sent import ServerSent, lines_of, parse
from midcourse.client.transport import Transport, segment
from midcourse.contract.api.commands import JournalEntry
from midcourse.contract.api.events import Event
from midcourse.contract.api.runs import RunView
from midcourse.contract.base import strict_json_loads
from midcourse.contract.runs import ENDED

PATIENCE_SECONDS = 60.0
"""How long a stream that broke off is taken up again before it counts as lost."""
_LONGEST_PAUSE = 5.0


class Quiet(NotReachable):
    """A stream said nothing for as long as it was waited for."""


class Heard(Event):
    """An event, with what the stream says around it."""

    id: int
    """Grows from event to event; a stream is taken up after it."""
    kind: str
    """Such as `run.status`; see `EventKind`."""


class Streams:
    """Verbs whose answers have no end, or a far one."""

    _wire: Transport
    _sleep: Callable[[float], None] = staticmethod(time.sleep)

    def logs(
        self, run: str, *, tail: int | None = None, follow: bool = False, offset: int | None = None
    ) -> Iterator[str]:
        """What a run's trainer printed, in pieces of text as they come.

        Args:
            run: its id.
            tail: only so many lines from the end.
            follow: go on with what is printed next, until the run has ended.
            offset: from this byte on.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for chunk in self._log_bytes(run, tail, offset, follow):
            if text := decoder.decode(chunk):
                yield text
        if rest := decoder.decode(b"", final=True):
            yield rest

    def _log_bytes(
        self, run: str, tail: int | None, offset: int | None, follow: bool
    ) -> Iterator[bytes]:
        """The log's bytes; while it is followed, a stream that breaks off is taken up there."""
        path, failures = f"/runs/{segment(run)}/logs", 0
        query: dict[str, Any] = {"tail": tail, "offset": offset, "follow": follow or None}
        while True:
            try:
                with self._wire.streaming(path, query) as answer:
                    place = int(answer.headers.get("Log-Offset", offset or 0))
                    for chunk in _chunks(answer, live=follow):
                        place, failures = place + len(chunk), 0
                        query = {"offset": place, "follow": True}
                        yield chunk
                if not follow or self._has_ended(run):
                    return
            except Quiet:
                pass
            except NotReachable:
                if not follow or failures * _LONGEST_PAUSE > PATIENCE_SECONDS:
                    raise
            self._sleep(min(0.25 * 2**failures, _LONGEST_PAUSE))
            failures += 1

    def _has_ended(self, run: str) -> bool:
        """Whether there is nothing more to follow; the API itself may have been shut down."""
        return self._wire.get(RunView, f"/runs/{segment(run)}").status in ENDED

    def journal(self, run: str) -> Iterator[JournalEntry]:
        """A run's journal: every command that has its receipt, in the order in which they acted."""
        for line in self.journal_lines(run):
            yield JournalEntry.model_validate(strict_json_loads(line), extra="ignore")

    def journal_lines(self, run: str) -> Iterator[str]:
        """The same as it is downloaded: a JSON object a line."""
        return self._lines(f"/runs/{segment(run)}/journal", {})

    def events(
        self,
        run: str | None = None,
        *,
        experiment: str | None = None,
        kinds: str | Sequence[str] | None = None,
        after: int | None = None,
        follow: bool = True,
    ) -> Iterator[Heard]:
        """What happens, as it happens.

        A stream that breaks off is taken up after the last event that was seen.

        Args:
            run: only of this run; without it, of all.
            experiment: only of its runs.
            kinds: only of these kinds, such as `command`.
            after: begin after the event of this number, 0 being before all that are kept; without
                it, with what happens from now on.
            follow: go on without end; else the newest event that there is now is the last.
        """
        path = f"/runs/{segment(run)}/events" if run else "/events"
        query = {"experiment": experiment, "kinds": kinds, "after": after}
        query["follow"] = None if follow else False
        for sent in self._events(path, query, follow):
            if sent.id.isdecimal():
                said = Event.model_validate(strict_json_loads(sent.data), extra="ignore")
                yield Heard(id=int(sent.id), kind=sent.kind, **dict(said))

    def _lines(self, path: str, query: dict[str, Any]) -> Iterator[str]:
        with self._wire.streaming(path, query) as answer:
            yield from (line for line in lines_of(_chunks(answer)) if line)

    def _events(self, path: str, query: dict[str, Any], follow: bool) -> Iterator[ServerSent]:
        """Events; a stream that breaks off is taken up after the last one seen."""
        last, failures = "", 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            try:
                with self._wire.streaming(path, query, headers) as answer:
                    for event in parse(lines_of(_chunks(answer, live=True))):
                        last, failures = event.id or last, 0
                        yield event
                if not follow:
                    return
            except Quiet:
                pass
            except NotReachable:
                if failures * _LONGEST_PAUSE > PATIENCE_SECONDS:
                    raise
            self._sleep(min(0.25 * 2**failures, _LONGEST_PAUSE))
            failures += 1


def _chunks(answer: requests.Response, *, live: bool = False) -> Iterator[bytes]:
    """The body as it comes; where it has no chunks and is live, not as a buffer fills.

    Raises:
        Quiet: nothing came for as long as it was waited for.
        NotReachable: it broke off.
    """
    try:
        chunked = getattr(answer.raw, "chunked", False)
        yield from answer.iter_content(chunk_size=None if chunked else 1 if live else 65_536)
    except requests.RequestException as error:
        # requests tells a silence in the body as a broken connection.
        if "timed out" in str(error).lower():
            raise Quiet(f"{answer.url.partition('?')[0]} has gone quiet.") from None
        raise NotReachable(f"The stream from {answer.url.partition('?')[0]} broke off.") from None
