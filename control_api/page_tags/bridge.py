"""The bridge: looks at W&B's pages, obeys tags, and tells the pages what became of them.

Levels, not edges: each round goes by what the database and the pages say now, so it does not
matter at which line the last bridge died. What W&B does not answer is asked again, later each time.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from control_api import logs
from control_api.database import Database
from control_api.dialects import AWAY
from control_api.lease import TAGS_LEASE, Lease, LeaseLost, trouble_of
from control_api.page_tags.obeying import Obeying, Sighting
from control_api.page_tags.outcomes import is_hopeless, new_outcomes, untold
from control_api.page_tags.patience import Patience
from control_api.page_tags.reading import CameBack, Finding, findings
from control_api.page_tags.sdk_process import PagesSource, PagesTroubled
from control_api.page_tags.telling import mark_of
from control_api.page_tags.watched import copied_tags, open_tags, watched_runs
from control_api.settings import Settings
from control_api.tables import PageTagRow
from midcourse.contract.base import utc_now
from midcourse.contract.pages import LookAtPages, MarkPage, Page, Place, TroubleKind

LEASE_SECONDS = 120.0
"""How long a bridge that died keeps others from taking over: longer than any answer takes."""
RUNS_AT_ONCE = 200
"""Of one look."""
LONGEST_PAUSE = timedelta(minutes=10)
RATE_LIMIT_PAUSE = timedelta(minutes=1)
"""At least. The SDK waits for a Retry-After itself and tells nobody; W&B counts by the minute."""

_SERVER = "server"

log = logging.getLogger(__name__)


class Bridge:
    """One round is `go_round`; whoever calls it does so about once a second."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        pages: PagesSource,
        now: Callable[[], datetime] = utc_now,
        holder: str | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._pages = pages
        self._now = now
        self._lease = Lease(TAGS_LEASE, LEASE_SECONDS, holder)
        self._obeying = Obeying(database, settings.home, settings.wandb.tag_verbs, self._claim)
        self._every = timedelta(seconds=settings.wandb.tag_seconds)
        self._patience = Patience(self._every, LONGEST_PAUSE)
        self._look_due: datetime | None = None

    def go_round(self) -> None:
        """Look if it is time, and tell what there is to tell; nothing without the lease.

        Raises:
            LeaseLost: another bridge has taken over meanwhile.
            OperationalError, InterfaceError: the database does not answer.
        """
        with self._database.writing() as session:
            if not self._lease.claim(session, self._now()):
                return
        self._learn_outcomes()
        if not self._patience.is_over(_SERVER, self._now()):
            return
        try:
            if self._look_due is not None and self._look_due > self._now():
                self._tell()
                return
            self._look_due = self._now() + self._every
            unseen = self._look()
            self._learn_outcomes()
            self._tell()
        except PagesTroubled as error:
            self._step_back(error)
        else:
            self._patience.succeeded(_SERVER)
            self._say(unseen, worked=True)

    def release(self) -> None:
        """Give the lease back."""
        with self._database.writing() as session:
            self._lease.release(session)

    def _claim(self, session: Session) -> None:
        if not self._lease.claim(session, self._now()):
            raise LeaseLost

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._database.writing() as session:
            self._claim(session)
            yield session

    # -- looking ------------------------------------------------------------------------------

    def _look(self) -> str | None:
        """Look at all pages.

        Returns:
            Why some could not be seen, if that is so.
        """
        with self._database.reading() as session:
            watched = watched_runs(session, self._now())
        unseen = None
        for place, run_ids in watched.items():
            for first in range(0, len(run_ids), RUNS_AT_ONCE):
                try:
                    self._look_at(place, run_ids[first : first + RUNS_AT_ONCE])
                except PagesTroubled as error:
                    if error.why is not TroubleKind.REFUSED:
                        raise
                    unseen = f"{place.entity}/{place.project}: {error}"
                    break  # other projects may be seen
        return unseen

    def _look_at(self, place: Place, run_ids: list[str]) -> None:
        began = self._now()
        seen = self._pages.look(LookAtPages(place=place, runs=run_ids))
        with self._writing():
            pass  # the answer may have taken so long that another bridge looks, too
        with self._database.reading() as session:
            known = open_tags(session, run_ids)
            copied = copied_tags(session, run_ids, began)
        for page in seen.pages:
            if page.run in run_ids:
                for finding in list(findings(page, place, known, copied, began)):
                    self._attend(page, finding, began)

    def _attend(self, page: Page, finding: Finding, began: datetime) -> None:
        """Do what a look asks for; a page that makes trouble does not hold up others."""
        with logs.about(run=page.run):
            try:
                if isinstance(finding, Sighting):
                    self._obeying.obey(finding)
                elif isinstance(finding, CameBack):
                    self._put_right(finding.row, began)
                else:
                    self._change(finding.row, closed_at=began)
            except (LeaseLost, *AWAY):
                raise
            except Exception:
                log.exception("run %s: a tag on its page was not dealt with", page.run)

    def _put_right(self, row: PageTagRow, began: datetime) -> None:
        """Have a page told again; less often where that does not last."""
        again = ("came back", _key(row))
        if self._patience.is_over(again, began):
            self._patience.failed(again, began)
            self._change(row, shown_at=None, came_back=True)

    def _change(self, seen: PageTagRow, **values: Any) -> None:
        """Change a row, unless another bridge has, since it was seen."""
        with self._writing() as session:
            row = session.get(PageTagRow, _key(seen), with_for_update=True)
            if row is None or (row.state, row.shown_at) != (seen.state, seen.shown_at):
                return
            for name, value in values.items():
                setattr(row, name, value)

    # -- telling ------------------------------------------------------------------------------

    def _learn_outcomes(self) -> None:
        with self._database.reading() as session:
            found = new_outcomes(session)
        for row, known in found:
            self._change(row, state=known.state, child=known.child, reason=known.reason)

    def _tell(self) -> None:
        with self._database.reading() as session:
            marks = [(row, mark_of(session, row)) for row in untold(session)]
        for row, mark in marks:
            if self._patience.is_over(_key(row), self._now()):
                if self._is_told(mark):
                    self._patience.succeeded(_key(row))
                    self._change(row, shown_at=self._now())
                else:
                    self._tell_later(row)

    def _is_told(self, mark: MarkPage) -> bool:
        try:
            return mark.add in self._pages.mark(mark).tags
        except PagesTroubled as error:
            if error.why is not TroubleKind.REFUSED:
                raise
            log.warning("run %s: its page in W&B cannot be told: %s", mark.run, error)
            return False

    def _tell_later(self, row: PageTagRow) -> None:
        self._patience.failed(_key(row), self._now())
        with self._database.reading() as session:
            hopeless = is_hopeless(session, row, self._now())
        if hopeless:
            self._change(row, closed_at=self._now())

    # -- how it goes --------------------------------------------------------------------------

    def _step_back(self, error: PagesTroubled) -> None:
        """Leave W&B alone for a while."""
        is_limit = error.why is TroubleKind.TOO_MANY_REQUESTS
        at_least = RATE_LIMIT_PAUSE if is_limit else timedelta()
        pause = self._patience.failed(_SERVER, self._now(), at_least)
        log.debug("W&B is asked again in %.0f s: %s", pause.total_seconds(), error)
        self._say(str(error), worked=False)

    def _say(self, trouble: str | None, *, worked: bool) -> None:
        with self._writing() as session:
            told = trouble_of(session, TAGS_LEASE)
            self._lease.tell(session, trouble)
            if worked:
                self._lease.worked(session, self._now())
        if trouble == told:
            return
        if trouble is None:
            log.info("tags on W&B's pages can be looked at again")
        else:
            log.error("tags on W&B's pages cannot be looked at, or not all: %s", trouble)


def _key(row: PageTagRow) -> tuple[str, int]:
    return row.run_id, row.number
