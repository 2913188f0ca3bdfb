"""A tag, obeyed: the command is accepted, and the tag kept, in one transaction.

It goes the way of the requests, with their checks and their lines in the audit. That a tag is
obeyed once is the database's to see to: of two open rows for one tag of one page, the second undoes
its transaction, and the command with it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from control_api import branches
from control_api.accepting import accept_command, require_not_ended
from control_api.asking import Made, Requester, note
from control_api.columns import TagState
from control_api.database import Database
from control_api.dialects import AWAY
from control_api.errors import problem_of
from control_api.lease import LeaseLost
from control_api.lifecycle import get_run
from control_api.live import check_live
from control_api.page_tags.words import NotUnderstood, Order, Verb, read_tag
from control_api.problems import RunDeleted
from control_api.tables import PageTagRow, RunRow
from control_api.views import run_path
from midcourse.contract.api.audit import Outcome
from midcourse.contract.api.branches import ForkRun
from midcourse.contract.api.commands import CommandQuery
from midcourse.contract.commands import Action, Pause, Resume, SetParameters, Stop, TakeCheckpoint
from midcourse.contract.errors import Problem
from midcourse.contract.pages import Place
from midcourse.contract.roles import Role

PAGE = "W&B page"
"""The actor where nobody knows who added a tag."""

log = logging.getLogger(__name__)

Claim = Callable[[Session], None]
"""Makes sure, within a transaction, that nobody else looks at the pages, or raises."""


@dataclass(frozen=True)
class Sighting:
    """A tag on a page, seen for the first time; or again, after it was obeyed and shown so."""

    run: str
    tag: str
    place: Place
    owner: str | None
    """The person to whom the page belongs, if it is one's."""
    at: datetime
    before: int | None = None
    """The number of the row of the last time, which ends now."""
    is_copy: bool = False
    """It may have come with a fork from the page of the run on which it was obeyed."""

    @property
    def actor(self) -> str:
        """In whose name the run is commanded."""
        return PAGE if self.owner is None else f"wandb:{self.owner}"[:200]


class Obeying:
    """What is done about tags, in the transactions of whoever has the lease."""

    def __init__(
        self, database: Database, home: Path, allowed: frozenset[Verb], claim: Claim
    ) -> None:
        self._database = database
        self._home = home
        self._allowed = allowed
        self._claim = claim

    def obey(self, seen: Sighting) -> None:
        """Accept what a tag asks for, or keep why it is refused; neither, if it was obeyed before.

        Raises:
            OperationalError, InterfaceError: the database does not answer; nothing was done.
            LeaseLost: somebody else looks at the pages now; nothing was done.
        """
        try:
            self._act(seen)
        except IntegrityError:
            log.info("run %s: the tag %r is another's already", seen.run, seen.tag)

    def _act(self, seen: Sighting) -> None:
        try:
            order = read_tag(seen.tag)
        except NotUnderstood as error:
            return self._refuse(seen, None, str(error), None)
        if order.verb not in self._allowed:
            allowed = ", ".join(verb for verb in Verb if verb in self._allowed)
            why = f"{order.verb} is not among what may be asked from here: {allowed}"
            return self._refuse(seen, order.verb, why, None)
        if seen.is_copy:
            why = "this run came from that very tag; if it is meant for this run, too, add it again"
            return self._refuse(seen, order.verb, why, None)
        try:
            made = _ACTS[order.verb](self, order, seen, self._requester(seen))
        except (IntegrityError, LeaseLost, *AWAY):
            raise
        except Exception as error:
            problem = problem_of(error, run_path(seen.run))
            return self._refuse(seen, order.verb, problem.detail or problem.title, problem)
        became = f"command {made.seq}" if made.run == seen.run else f"run {made.run}"
        log.info("run %s: the tag %r became %s", seen.run, seen.tag, became)
        return None

    def _requester(self, seen: Sighting) -> Requester:
        def keep(session: Session, made: Made) -> None:
            self._claim(session)
            child = None if made.run == seen.run else made.run
            keep_tag(session, seen, TagState.OBEYED, seq=made.seq, child=child)

        return Requester(actor=seen.actor, role=Role.OPERATOR.value, keep=keep)

    def _refuse(self, seen: Sighting, verb: Verb | None, why: str, problem: Problem | None) -> None:
        by = Requester(actor=seen.actor, role=Role.OPERATOR.value)
        try:
            with self._database.writing() as session:
                get_run(session, seen.run, for_change=True)
                self._claim(session)  # in this order, as where something is made
                keep_tag(session, seen, TagState.REFUSED, reason=why)
                note(
                    session,
                    by,
                    verb,
                    outcome=Outcome.REFUSED,
                    run_id=seen.run,
                    subject=seen.tag,
                    status=None if problem is None else problem.status,
                    problem=None if problem is None else problem.type,
                )
        except RunDeleted:
            log.info("run %s was deleted: the tag %r asks for nothing", seen.run, seen.tag)

    # -- one for each verb --------------------------------------------------------------------

    def _command(self, seen: Sighting, by: Requester, make: Callable[[RunRow], Action]) -> Made:
        with self._database.writing() as session:
            run = get_run(session, seen.run, for_change=True)
            require_not_ended(run)
            return accept_command(session, run, make(run), by, _how(seen))[1]

    def _set(self, order: Order, seen: Sighting, by: Requester) -> Made:
        changes = {order.parameter: order.value}
        return self._command(seen, by, lambda run: SetParameters(changes=check_live(run, changes)))

    def _fork(self, order: Order, seen: Sighting, by: Requester) -> Made:
        wanted, reason = ForkRun(checkpoint=order.checkpoint), _how(seen).reason
        return branches.fork(self._database, self._home, seen.run, wanted, by, reason)

    def _undo(self, _: Order, seen: Sighting, by: Requester) -> Made:
        return branches.undo(self._database, seen.run, by, _how(seen))


_Act = Callable[[Obeying, Order, Sighting, Requester], Made]


def _plain(action: Action) -> _Act:
    def act(obeying: Obeying, _: Order, seen: Sighting, by: Requester) -> Made:
        return obeying._command(seen, by, lambda _: action)

    return act


_ACTS: dict[Verb, _Act] = {
    Verb.PAUSE: _plain(Pause()),
    Verb.RESUME: _plain(Resume()),
    Verb.STOP: _plain(Stop()),
    Verb.CHECKPOINT: _plain(TakeCheckpoint(pin=True)),
    Verb.SET: Obeying._set,
    Verb.FORK: Obeying._fork,
    Verb.UNDO: Obeying._undo,
}


def _how(seen: Sighting) -> CommandQuery:
    return CommandQuery(reason=f"the tag {seen.tag} on its page in W&B")


def keep_tag(
    session: Session,
    seen: Sighting,
    state: TagState,
    *,
    seq: int | None = None,
    child: str | None = None,
    reason: str | None = None,
) -> None:
    """Keep a tag with what was made of it; the row of the last time is closed.

    The run's row must have been locked, as the number comes from what is there.

    Raises:
        IntegrityError: the tag is kept already, by somebody who looked at the same time.
    """
    of_run = PageTagRow.run_id == seen.run
    if seen.before is not None:
        last_time = of_run & (PageTagRow.number == seen.before) & PageTagRow.closed_at.is_(None)
        session.execute(update(PageTagRow).where(last_time).values(closed_at=seen.at))
    last = session.scalar(select(func.max(PageTagRow.number)).where(of_run)) or 0
    session.add(
        PageTagRow(
            run_id=seen.run,
            number=last + 1,
            tag=seen.tag,
            entity=seen.place.entity,
            project=seen.place.project,
            actor=seen.actor,
            state=state,
            seq=seq,
            child=child,
            reason=reason,
            seen_at=seen.at,
        )
    )
    session.flush()
