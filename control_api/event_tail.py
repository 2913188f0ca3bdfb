"""The event tail: rings this process's bell for what other processes have changed."""

import logging
import threading

from sqlalchemy import BigInteger, bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

from control_api.bell import EVENTS, RECONCILER, run_key
from control_api.database import Database
from control_api.tables import EventRow

TAIL_SECONDS = 0.05
LOOK_SECONDS = 60.0
"""How often waiters look though nothing rang, in a process that tails the events."""
_AWAY_SECONDS = 1.0
_MOST = 1000

log = logging.getLogger(__name__)


class EventTail:
    """One thread for each process asks for new events, so that waiters need not."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="event-tail", daemon=True)

    def start(self) -> None:
        """Begin with what happens from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _follow(self) -> None:
        last: int | None = None
        while not self._ending.wait(TAIL_SECONDS):
            try:
                last = self.newest() if last is None else self.look(last)
            except SQLAlchemyError as error:
                # Its text may hold the database's address.
                log.warning(
                    "the event tail has no database (%s); trying again", type(error).__name__
                )
                self._ending.wait(_AWAY_SECONDS)

    def newest(self) -> int:
        """The number of the newest event; 0 where there is none."""
        return self._database.fetch(_NEWEST)[0][0] or 0

    def look(self, last: int) -> int:
        """Ring for the events after number `last`; returns the number to go on from."""
        found = self._database.fetch(_SINCE, {"last": last})
        if not found:
            return last
        bell = self._database.bell
        for run_id in {row.run_id for row in found} - {None}:
            bell.ring(run_key(run_id))
        bell.ring(RECONCILER)
        bell.ring(EVENTS)
        newest: int = found[-1].id
        return newest


_NEWEST = select(func.max(EventRow.id))
_SINCE = (
    select(EventRow.id, EventRow.run_id)
    .where(EventRow.id > bindparam("last", type_=BigInteger))
    .order_by(EventRow.id)
    .limit(_MOST)
)
