"""The event tail: rings this process's bell for what other processes have changed."""

import logging
import threading

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from control_api.bell import EVENTS, RECONCILER, run_key
from control_api.database import Database
from control_api.tables import EventRow

TAIL_SECONDS = 0.05
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
                last = self._last() if last is None else self.look(last)
            except OperationalError as error:
                log.warning("the database does not answer; trying again: %s", error.orig)
                self._ending.wait(1.0)

    def _last(self) -> int:
        with self._database.reading() as session:
            return session.scalar(select(func.max(EventRow.id))) or 0

    def look(self, last: int) -> int:
        """Ring for the events after number `last`; returns the number to go on from."""
        query = select(EventRow.id, EventRow.run_id).where(EventRow.id > last)
        with self._database.reading() as session:
            found = session.execute(query.order_by(EventRow.id).limit(_MOST)).all()
        if not found:
            return last
        bell = self._database.bell
        for run_id in {run_id for _, run_id in found if run_id is not None}:
            bell.ring(run_key(run_id))
        bell.ring(RECONCILER)
        bell.ring(EVENTS)
        return found[-1][0]
