"""Who asks for what: the audit, and the keys by which a repeated request is known again."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from sqlalchemy import delete
from sqlalchemy.orm import Session

from control_api.tables import AuditRow, KeyRow, RunRow
from midcourse.contract.base import utc_now

KEY_LIFE = timedelta(days=1)
"""How long a key is kept at least. Older ones go when the next key comes."""


@dataclass(frozen=True)
class Key:
    """The `Idempotency-Key` of a request, with what the request was."""

    text: str
    fingerprint: str


@dataclass(frozen=True)
class Requester:
    """Who asks, from where: what the audit keeps of a request."""

    actor: str
    address: str | None = None
    request_id: str | None = None
    key: Key | None = None

    def without_key(self) -> Self:
        """The same, for what is made on the way to what was asked for."""
        return replace(self, key=None)


@dataclass(frozen=True)
class Made:
    """What a request made: a run, or a command of one."""

    run: str
    seq: int | None = None
    repeated: bool = False
    """An earlier request made it, under the same key."""


def record(
    session: Session, by: Requester, action: str, run: RunRow, seq: int | None = None
) -> Made:
    """Add a line to the audit and, if the request has a key, keep it.

    Returns:
        What was made.

    Raises:
        IntegrityError: another request has made something under this key.
    """
    session.flush()  # the run and the command that it points to come first
    now = utc_now()
    session.add(
        AuditRow(
            at=now,
            actor=by.actor,
            address=by.address,
            request_id=by.request_id,
            action=action,
            run_id=run.id,
            seq=seq,
        )
    )
    if by.key is not None:
        session.execute(delete(KeyRow).where(KeyRow.created_at < now - KEY_LIFE))
        session.add(
            KeyRow(
                actor=by.actor,
                key=by.key.text,
                fingerprint=by.key.fingerprint,
                run_id=run.id,
                seq=seq,
                created_at=now,
            )
        )
        session.flush()
    return Made(run.id, seq)
