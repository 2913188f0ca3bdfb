"""Events as a stream (server-sent events, WHATWG HTML §9.2), which may go on without end.

A stream asks for a few events at a time, and only when its client has taken the last ones: a slow
reader costs no memory, and no connection to the database waits with it. What it missed while it
was away it is sent when it comes back with the number of the last event that it has.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select

from control_api.bell import EVENTS, run_key
from control_api.database import Database
from control_api.dialects import AWAY
from control_api.tables import EventRow, RunRow
from midcourse.contract.api.events import Event, EventKind
from midcourse.contract.base import MAX_INTEGER, utc_now
from midcourse.contract.errors import Fault, InvalidInput

KEEP_ALIVE_SECONDS = 15.0
"""A word now and then: else nobody would notice that a client is gone."""
AT_ONCE = 200
RETRY_MILLISECONDS = 1000
"""How soon a client should come back after it lost us."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Which events a client wants."""

    run_id: str | None = None
    experiment: str | None = None
    kinds: tuple[EventKind, ...] = ()
    """None: all kinds."""

    @property
    def bell_key(self) -> str:
        """What rings when there may be more."""
        return EVENTS if self.run_id is None else run_key(self.run_id)

    def condition(self) -> ColumnElement[bool]:
        """The same for the database; a gap concerns everybody."""
        conditions: list[ColumnElement[bool]] = []
        if self.run_id is not None:
            conditions.append(EventRow.run_id == self.run_id)
        if self.experiment is not None:
            runs = select(RunRow.id).where(RunRow.experiment == self.experiment)
            conditions.append(EventRow.run_id.in_(runs))
        if self.kinds:
            conditions.append(EventRow.kind.in_(self.kinds))
        if not conditions:
            return EventRow.id.is_not(None)
        wanted = conditions[0]
        for condition in conditions[1:]:
            wanted = wanted & condition
        return or_(wanted, EventRow.kind == EventKind.GAP)


def parse_kinds(text: str | None) -> tuple[EventKind, ...]:
    """Kinds out of a query.

    Raises:
        InvalidInput: one that there is not.
    """
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    known = {kind.value: kind for kind in EventKind}
    if unknown := [name for name in names if name not in known]:
        message = f"there is no kind {unknown[0]!r}; there are: {', '.join(known)}"
        raise InvalidInput([Fault(path="kinds", message=message, allowed=list(known))])
    return tuple(known[name] for name in names)


def where_to_begin(after: int | None, last_event_id: str | None) -> int | None:
    """The number after which a stream goes on; None: begin with now.

    The header, which a browser sends when it comes back, wins over the query.

    Raises:
        InvalidInput: the header is not a number of ours.
    """
    if not last_event_id:
        return after
    text = last_event_id.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_INTEGER):
        message = f"must be the id of an event, which is a whole number; not {last_event_id!r}"
        raise InvalidInput([Fault(path="Last-Event-ID", message=message)])
    return int(text)


class EventStream:
    """The events that one client wants, in order, from one number on."""

    def __init__(
        self,
        database: Database,
        wanted: Wanted,
        after: int | None,
        *,
        follow: bool = True,
        clock: Callable[[], float] = time.monotonic,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        """Find the place to begin.

        Args:
            database: it is asked again whenever the bell rings.
            wanted: what is sent; the rest is passed over.
            after: the number of the last event that the client has; None: begin with now.
            follow: go on with what comes; else the stream ends with what there is now.
            clock: seconds that only grow.
            keep_alive: the longest silence, in seconds.
        """
        self._database = database
        self._wanted = wanted
        self._clock = clock
        self._keep_alive = keep_alive
        newest = self._newest()
        self._until = None if follow else newest
        self._ahead = after is not None and after > newest
        self._last = newest if after is None or self._ahead else after

    def __iter__(self) -> Iterator[str]:
        """Pieces of the stream, until all is told that is wanted, or the process ends."""
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        if self._ahead:  # of another database, or of one that was put back
            yield _frame(self._last, EventKind.GAP, Event(run=None, at=utc_now(), details={}))
        bell, key = self._database.bell, self._wanted.bell_key
        spoken_at = self._clock()
        while not (bell.silenced or (self._until is not None and self._last >= self._until)):
            heard = bell.count(key)
            try:
                found = self._next()
            except AWAY:
                log.warning("an event stream ends: the database does not answer")
                return  # the client comes back, with the number it has
            for row in found:
                yield _frame(row.id, row.kind, Event(run=row.run_id, at=row.at, details=row.data))
            silence = self._clock() - spoken_at
            if found:
                spoken_at = self._clock()
            elif silence >= self._keep_alive:
                yield ": still here\n\n"
                spoken_at = self._clock()
            else:
                bell.wait(key, heard, min(bell.look_seconds, self._keep_alive - silence))

    def _newest(self) -> int:
        with self._database.reading() as session:
            return session.scalar(select(func.max(EventRow.id))) or 0

    def _next(self) -> list[EventRow]:
        """The next events; what is passed over meanwhile is not looked at again."""
        with self._database.reading() as session:
            newest = self._until or session.scalar(select(func.max(EventRow.id))) or 0
            if newest <= self._last:
                return []
            found = list(
                session.scalars(
                    select(EventRow)
                    .where(EventRow.id > self._last, EventRow.id <= newest)
                    .where(self._wanted.condition())
                    .order_by(EventRow.id)
                    .limit(AT_ONCE)
                )
            )
        self._last = found[-1].id if len(found) == AT_ONCE else newest
        return found


def _frame(number: int, kind: str, event: Event) -> str:
    return f"id: {number}\nevent: {kind}\ndata: {event.to_json()}\n\n"
