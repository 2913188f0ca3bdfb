"""Tokens of people and programs, and whom a request speaks for."""

from typing import Annotated

from pydantic import Field

from midcourse.contract.api import examples
from midcourse.contract.api.values import Flag
from midcourse.contract.base import Record, with_examples
from midcourse.contract.records import Moment
from midcourse.contract.roles import Role

TOKEN_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$"
TokenName = Annotated[str, Field(pattern=TOKEN_NAME_PATTERN)]
"""What commands and the audit call its holder: a person's name or address, or a program's."""

MAX_DAYS = 3650

NamedRole = Annotated[Role, Field(strict=False)]


class MakeToken(Record):
    """Body of `POST /tokens`."""

    model_config = with_examples({"name": "ada", "role": "operator", "expires_in_days": 90})

    name: TokenName
    """Unique among the tokens that are good; that of an ended one may be used again."""
    role: NamedRole
    expires_in_days: Annotated[float, Field(gt=0, le=MAX_DAYS)] | None = None
    """Absent: it is good until it is revoked."""


class TokenView(Record):
    """A token, without what it is: that is told once, when it is made."""

    model_config = with_examples(examples.TOKEN)

    id: int
    """Unlike the name, never used again; the audit has it, too."""
    name: str
    role: NamedRole
    created_at: Moment
    created_by: str | None
    """Who made it: a token's name, `the first start` or `the command line`."""
    expires_at: Moment | None
    ended_at: Moment | None
    """When it was revoked, or expired."""
    ended_by: str | None
    """Who revoked it; null where it expired."""


class TokenMade(TokenView):
    """Answer of `POST /tokens`."""

    model_config = with_examples({**examples.TOKEN, "token": "mc_…"})

    token: str
    """Told this once: the database holds its hash alone."""


class TokensQuery(Record):
    """Query of `GET /tokens`."""

    ended: Flag = False
    """Also those that were revoked or have expired."""


class TokensAnswer(Record):
    """Answer of `GET /tokens`, the oldest first."""

    model_config = with_examples({"tokens": [examples.TOKEN]})

    tokens: list[TokenView]


class WhoAmI(Record):
    """Answer of `GET /whoami`."""

    model_config = with_examples(
        {"name": "ada", "role": "operator", "expires_at": "2027-02-19T11:20:00Z"}
    )

    name: str
    role: NamedRole
    expires_at: Moment | None
