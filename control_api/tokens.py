"""Tokens: made here, stored as hashes, told once."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from control_api.dialects import take_turns
from control_api.problems import LastAdmin, TokenNameTaken, UnknownToken
from control_api.tables import TokenRow, TrainerTokenRow
from midcourse.contract.api.tokens import MakeToken, TokenView
from midcourse.contract.base import utc_now
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.roles import Role

ADMIN = "admin"
FIRST_START = "the first start"
_FIRST_START_LOCK = 0x6D63_746F
"""Of two servers that start together, one makes the token and the other finds it."""
TRAINER = "trainer"
"""What trainers are called; nobody else may be."""
PREFIX = "mc_"
"""Tells people and secret scanners what it is."""


@dataclass(frozen=True)
class Caller:
    """Whom a token speaks for."""

    name: str
    role: Role | None
    """None: a trainer."""
    token_id: int | None = None
    expires_at: datetime | None = None
    runs: frozenset[str] = frozenset()
    """The runs that a trainer's token speaks for."""


def new_token() -> str:
    """256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def sha256(token: str) -> str:
    """What is stored of a token. It is random and long, so no slow hash is needed.

    It is looked up by this, so what the time of an answer tells is about hashes, from which
    nobody comes to a token.
    """
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def caller_of(session: Session, token: str, now: datetime | None = None) -> Caller | None:
    """Whose token it is; None if nobody's, or if it has ended."""
    digest = sha256(token)
    if row := session.scalar(select(TokenRow).where(TokenRow.sha256 == digest)):
        if not is_good(row, now or utc_now()):
            return None
        return Caller(name=row.name, role=row.role, token_id=row.id, expires_at=row.expires_at)
    runs = session.scalars(select(TrainerTokenRow.run_id).where(TrainerTokenRow.sha256 == digest))
    if known := frozenset(runs):
        return Caller(name=TRAINER, role=None, runs=known)
    return None


def is_good(row: TokenRow, now: datetime) -> bool:
    """Whether a token was neither revoked nor has expired."""
    return row.ended_at is None and (row.expires_at is None or row.expires_at > now)


def ended_token(session: Session, token: str) -> TokenRow | None:
    """The token that this was, where it is none any more: for telling its holder why."""
    return session.scalar(select(TokenRow).where(TokenRow.sha256 == sha256(token)))


def make_token(session: Session, wanted: MakeToken, by: str, now: datetime) -> tuple[TokenRow, str]:
    """Make a token. That of the same name which has expired makes room.

    Returns:
        Its row, and the token itself, which is told nowhere else.

    Raises:
        TokenNameTaken: a good token has the name.
        InvalidInput: the name is for trainers.
    """
    if wanted.name == TRAINER:
        message = "is what the tokens of trainers are called; take another name"
        raise InvalidInput([Fault(path="name", message=message)])
    taken = session.scalar(
        select(TokenRow)
        .where(TokenRow.name == wanted.name, TokenRow.ended_at.is_(None))
        .with_for_update()
    )
    if taken is not None:
        if is_good(taken, now):
            raise TokenNameTaken(wanted.name)
        taken.ended_at = taken.expires_at
        session.flush()
    token = new_token()
    days = wanted.expires_in_days
    row = TokenRow(
        name=wanted.name,
        sha256=sha256(token),
        role=wanted.role,
        created_at=now,
        created_by=by,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError:  # another request has just made one of this name
        raise TokenNameTaken(wanted.name) from None
    return row, token


def list_tokens(session: Session, now: datetime, *, ended: bool = False) -> list[TokenRow]:
    """All tokens that are good, and with `ended` those that were, the oldest first."""
    query = select(TokenRow).order_by(TokenRow.id)
    return list(session.scalars(query if ended else query.where(_good(now))))


def revoke_token(
    session: Session, name: str, by: str, now: datetime, *, last_admin_too: bool = False
) -> TokenRow:
    """End a token. It is refused from the commit on, by every process.

    Raises:
        UnknownToken: no good token has this name.
        LastAdmin: nobody would be left who could make another.
    """
    # All of them, and in one order: two admins who revoke each other come one after the other.
    query = select(TokenRow).where(_good(now)).order_by(TokenRow.id).with_for_update()
    good = list(session.scalars(query))
    row = next((row for row in good if row.name == name), None)
    if row is None:
        raise UnknownToken(name)
    admins = [other for other in good if other.role is Role.ADMIN]
    if admins == [row] and not last_admin_too:
        raise LastAdmin(name)
    row.ended_at = now
    row.ended_by = by
    return row


def token_view(row: TokenRow, now: datetime) -> TokenView:
    """A token as clients see it."""
    expired = None if is_good(row, now) else row.expires_at
    return TokenView.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "role": row.role,
            "created_at": row.created_at,
            "created_by": row.created_by,
            "expires_at": row.expires_at,
            "ended_at": row.ended_at or expired,
            "ended_by": row.ended_by,
        }
    )


def ensure_admin(session: Session, token_file: Path) -> str | None:
    """At the first start, make the admin's token and write it to its file.

    Returns:
        The token, if it is known: from now, or from the file of the first start.

    Raises:
        OSError: the file cannot be written.
    """
    take_turns(session, _FIRST_START_LOCK)
    if session.scalar(select(func.count()).select_from(TokenRow)) == 0:
        wanted = MakeToken(name=ADMIN, role=Role.ADMIN)
        _, token = make_token(session, wanted, FIRST_START, utc_now())
        _write_private(token_file, token + "\n")
        return token
    try:
        token = token_file.read_text().strip()
    except (OSError, UnicodeError):
        return None
    caller = caller_of(session, token)
    return token if caller is not None and caller.role is not None else None


def give_trainer_token(session: Session, run_ids: list[str]) -> str:
    """A new token that speaks for these runs and nothing else."""
    token = new_token()
    session.add_all(TrainerTokenRow(sha256=sha256(token), run_id=run_id) for run_id in run_ids)
    return token


def extend_trainer_tokens(session: Session, run_id: str, child_id: str) -> None:
    """Let the tokens that speak for a run speak for the one that may take its place, too."""
    digests = session.scalars(
        select(TrainerTokenRow.sha256).where(TrainerTokenRow.run_id == run_id)
    )
    session.add_all(TrainerTokenRow(sha256=digest, run_id=child_id) for digest in digests.all())


def revoke_trainer_tokens(session: Session, run_id: str) -> None:
    """Take a run's trainer tokens back, with all that they speak for."""
    digests = select(TrainerTokenRow.sha256).where(TrainerTokenRow.run_id == run_id)
    session.execute(
        delete(TrainerTokenRow).where(TrainerTokenRow.sha256.in_(digests.scalar_subquery()))
    )


def _good(now: datetime) -> ColumnElement[bool]:
    return TokenRow.ended_at.is_(None) & or_(
        TokenRow.expires_at.is_(None), TokenRow.expires_at > now
    )


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
