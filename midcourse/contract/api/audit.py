"""Who asked for what, and what became of it."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from midcourse.contract.api import examples
from midcourse.contract.base import Record, with_examples
from midcourse.contract.records import Moment


class Outcome(StrEnum):
    """What became of a request that would change something."""

    ACCEPTED = "accepted"
    """It did what it asked for, or its command was stored; the receipt tells the rest."""
    REFUSED = "refused"
    """Nothing was changed."""
    FAILED_LOGIN = "failed-login"
    """It had no token, or one that is not good."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time that has a year in UTC") from None


def _is_written_out(said: object) -> object:
    if isinstance(said, str) and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", said):
        raise ValueError(f"must be a time with its zone, such as 2026-11-21T12:00:00Z, not {said}")
    return said


Time = Annotated[
    AwareDatetime, Field(strict=False), BeforeValidator(_is_written_out), AfterValidator(_in_utc)
]
"""As queries say it, with its zone: `2026-11-21T12:00:00Z`."""

_Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class AuditEntry(Record):
    """One line of the audit."""

    model_config = with_examples(examples.AUDIT_ENTRY)

    id: int
    at: Moment
    actor: str | None
    """The name of the token; null where nobody's was given."""
    token_id: int | None
    """Which token of that name; null for a trainer's and for nobody's."""
    role: str | None
    """What the token could do then: a role, or `trainer`."""
    address: str | None
    request_id: str | None
    method: str | None
    path: str | None
    """Without its query. Null, as `method` is, in lines of versions that did not keep it."""
    action: str | None
    """What was asked for, such as `submit`, `pause` or `make_token`."""
    run: str | None
    seq: int | None
    """The run's command that was made."""
    subject: str | None
    """Besides a run: the name of a token; of a failed login, how the token began."""
    outcome: Annotated[Outcome, Field(strict=False)]
    status: int | None
    """Of the answer; null where the effect was stored before the request was answered."""
    problem: str | None
    """The type of the problem, where it was refused."""


class AuditFilter(Record):
    """Query of `GET /audit/download`."""

    actor: _Text | None = None
    run: _Text | None = None
    outcome: Annotated[Outcome, Field(strict=False)] | None = None
    since: Time | None = None
    """Only what was asked at this time or later."""
    until: Time | None = None
    """Only what was asked before this time."""


class AuditQuery(AuditFilter):
    """Query of `GET /audit`."""

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200)
    """`next_cursor` of the page before."""


class AuditAnswer(Record):
    """Answer of `GET /audit`, the newest first."""

    model_config = with_examples({"entries": [examples.AUDIT_ENTRY], "next_cursor": None})

    entries: list[AuditEntry]
    next_cursor: str | None
    """Where to go on; null at the end."""
