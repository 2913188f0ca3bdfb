"""Tokens: made here, stored as hashes, told once."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from control_api.columns import Role
from control_api.tables import TokenRow, TrainerTokenRow
from midcourse.contract.base import utc_now

ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Whom a token speaks for."""

    name: str
    role: Role | None
    """None: a trainer."""
    runs: frozenset[str] = frozenset()
    """The runs that a trainer's token speaks for."""


def new_token() -> str:
    """256 random bits; the prefix tells people and secret scanners what it is."""
    return "mc_" + secrets.token_urlsafe(32)


def sha256(token: str) -> str:
    """What is stored of a token. It is random and long, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def caller_of(session: Session, token: str) -> Caller | None:
    """Whose token it is; None if nobody's."""
    digest = sha256(token)
    if row := session.scalar(select(TokenRow).where(TokenRow.sha256 == digest)):
        return Caller(name=row.name, role=row.role)
    runs = session.scalars(select(TrainerTokenRow.run_id).where(TrainerTokenRow.sha256 == digest))
    if known := frozenset(runs):
        return Caller(name="trainer", role=None, runs=known)
    return None


def ensure_admin(session: Session, token_file: Path) -> str | None:
    """At the first start, make the admin's token and write it to its file.

    Returns:
        The token, if it is known: from now, or from the file of the first start.

    Raises:
        OSError: the file cannot be written.
    """
    if session.scalar(select(func.count()).select_from(TokenRow)) == 0:
        token = new_token()
        _write_private(token_file, token + "\n")
        session.add(
            TokenRow(name=ADMIN, sha256=sha256(token), role=Role.ADMIN, created_at=utc_now())
        )
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


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
