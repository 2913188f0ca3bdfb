"""Who asks for what: the audit, and the keys by which a repeated request is known again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from sqlalchemy import delete, event
from sqlalchemy.orm import Session

from control_api.tables import AuditRow, KeyRow, RunRow
from midcourse.contract.api.audit import Outcome
from midcourse.contract.base import utc_now

_NOTED = "noted"

KEY_LIFE = timedelta(days=1)
"""How long a key is kept at least. Older ones go when the next key comes."""


@dataclass(frozen=True)
class Key:
    """The `Idempotency-Key` of a request, with what the request was."""

    text: str
    fingerprint: str


@dataclass
class Mark:
    """Whether the audit has a line of a request. Its id says nothing: clients may choose that."""

    kept: bool = False


@dataclass(frozen=True)
class Made:
    """What a request made: a run, or a command of one."""

    run: str
    seq: int | None = None
    repeated: bool = False
    """An earlier request made it, under the same key."""


@dataclass(frozen=True)
class Requester:
    """Who asks, from where: what the audit keeps of a request."""

    actor: str
    """Empty: nobody's token was given."""
    address: str | None = None
    request_id: str | None = None
    key: Key | None = None
    token_id: int | None = None
    role: str | None = None
    """A role, or `trainer`."""
    method: str | None = None
    path: str | None = None
    """Of the request, without its query."""
    mark: Mark = field(default_factory=Mark, compare=False, repr=False)
    keep: Callable[[Session, Made], None] | None = field(default=None, compare=False, repr=False)
    """Keeps what was made, in the same transaction; what it raises undoes that."""

    def without_key(self) -> Self:
        """The same, for what is made on the way to what was asked for."""
        return replace(self, key=None, keep=None)


def record(
    session: Session, by: Requester, action: str, run: RunRow, seq: int | None = None
) -> Made:
    """Add a line to the audit and, if the request has a key, keep it.

    Returns:
        What was made.

    Raises:
        IntegrityError: another request has made something under this key.
    """
    session.flush()  # the run that the key points to comes first
    note(session, by, action, run_id=run.id, seq=seq)
    if by.key is not None:
        keep_key(session, by.actor, by.key, run.id, seq)
    made = Made(run.id, seq)
    if by.keep is not None:
        by.keep(session, made)
    return made


def keep_key(
    session: Session,
    actor: str,
    key: Key,
    run_id: str,
    seq: int | None = None,
    runs: list[str] | None = None,
) -> None:
    """Keep a key with what was made under it; of a request to many runs, with all of them.

    Raises:
        IntegrityError: another request came under this key.
    """
    now = utc_now()
    session.execute(delete(KeyRow).where(KeyRow.created_at < now - KEY_LIFE))
    session.add(
        KeyRow(
            actor=actor,
            key=key.text,
            fingerprint=key.fingerprint,
            run_id=run_id,
            seq=seq,
            runs=runs,
            created_at=now,
        )
    )
    session.flush()


def note(
    session: Session,
    by: Requester,
    action: str | None,
    *,
    outcome: Outcome = Outcome.ACCEPTED,
    run_id: str | None = None,
    seq: int | None = None,
    subject: str | None = None,
    status: int | None = None,
    problem: str | None = None,
) -> None:
    """Add a line to the audit, in the transaction of what it tells of.

    What the client wrote is cut to its column; PostgreSQL cannot hold a NUL at all.
    """
    session.info.setdefault(_NOTED, []).append(by.mark)
    session.add(
        AuditRow(
            at=utc_now(),
            actor=by.actor or None,
            token_id=by.token_id,
            role=by.role,
            address=_fit(by.address, 100),
            request_id=by.request_id,
            method=_fit(by.method, 20),
            path=_fit(by.path, 500),
            action=_fit(action, 40),
            run_id=_fit(run_id, 200),
            seq=seq,
            subject=_fit(subject, 200),
            outcome=outcome,
            status=status,
            problem=problem,
        )
    )


@event.listens_for(Session, "after_commit")
def _keep(session: Session) -> None:
    """Tell those who asked that what they asked for is in the audit for good."""
    if not session.in_nested_transaction():
        for mark in session.info.pop(_NOTED, ()):
            mark.kept = True


def _fit(text: str | None, length: int) -> str | None:
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]
