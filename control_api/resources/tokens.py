"""`/tokens`: who may ask this API for anything; for admins."""

from flask import Response

from control_api import tokens
from control_api.answers import Gives
from control_api.asking import note
from control_api.context import context, requester
from control_api.http import answer
from control_api.problems import LastAdmin, TokenNameTaken, UnknownToken
from control_api.resource import Resource
from midcourse.contract.api.tokens import (
    MakeToken,
    TokenMade,
    TokenName,
    TokensAnswer,
    TokensQuery,
    TokenView,
)
from midcourse.contract.roles import Role

resource = Resource("tokens", "Who may ask for anything.", prefix="/tokens")


@resource.post("", Gives(TokenMade, 201), problems=[TokenNameTaken], role=Role.ADMIN)
def make_token(body: MakeToken) -> Response:
    """Make a token. The answer is the only one that ever tells it.

    A repeat under the same `Idempotency-Key` does not tell it again: the name is taken, then.
    """
    here, by = context(), requester()
    now = here.now()
    with here.database.writing() as session:
        row, token = tokens.make_token(session, body, by.actor, now)
        note(session, by, "make_token", subject=row.name)
    return answer(TokenMade(**tokens.token_view(row, now).model_dump(), token=token), 201)


@resource.get("", Gives(TokensAnswer), role=Role.ADMIN)
def list_tokens(query: TokensQuery) -> Response:
    """The tokens that are good, without what they are."""
    here = context()
    now = here.now()
    with here.database.reading() as session:
        rows = tokens.list_tokens(session, now, ended=query.ended)
    return answer(TokensAnswer(tokens=[tokens.token_view(row, now) for row in rows]))


@resource.delete("/<name>", Gives(TokenView), problems=[UnknownToken, LastAdmin], role=Role.ADMIN)
def revoke_token(name: TokenName) -> Response:
    """End a token. From the answer on, every process refuses it."""
    here, by = context(), requester()
    now = here.now()
    with here.database.writing() as session:
        row = tokens.revoke_token(session, name, by.actor, now)
        note(session, by, "revoke_token", subject=name)
    return answer(tokens.token_view(row, now))
