"""Who may come in: the request's host and origin, its token, and what the token is for."""

from collections.abc import Callable
from datetime import datetime

from flask import Flask, current_app, g, request

from control_api.asking import Mark, Requester
from control_api.database import Database
from control_api.known_trainers import KnownTrainers
from control_api.login_failures import LoginFailures
from control_api.origins import Names
from control_api.problems import ApiProblem, Forbidden, ForeignOrigin, Unauthenticated
from control_api.proxies import client_address
from control_api.roles import OPEN, TRAINER, Needed, Special, needed_by
from control_api.settings import Settings
from control_api.tokens import PREFIX, Caller, caller_of, ended_token
from midcourse.contract.api.audit import Outcome
from midcourse.contract.base import utc_now
from midcourse.contract.roles import Role

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN = 4
"""Characters behind the prefix of a failed token that the audit keeps, so that its owner may know
it again: one that has not our prefix may be a password, and none of it is kept."""


def register(
    app: Flask, settings: Settings, database: Database, now: Callable[[], datetime] = utc_now
) -> None:
    """Check every request before any view, those for unknown addresses too."""
    names = Names(settings)
    failures = LoginFailures(settings, database, now)
    trainers = KnownTrainers(database.bell)

    @app.before_request
    def check() -> None:
        g.address = client_address(
            request.remote_addr, request.headers.get("X-Forwarded-For"), settings.trusted_proxies
        )
        try:
            names.check(request.method, request.environ.get("RAW_URI", ""), request.headers)
        except ForeignOrigin as problem:
            raise _turned_away(problem) from None
        needed = needed_by(current_app, request.endpoint)
        if needed is OPEN:
            return
        try:
            token = _bearer_token()
        except Unauthenticated as problem:
            raise _turned_away(problem) from None
        run_id = (request.view_args or {}).get("run_id") if needed is TRAINER else None
        known = trainers.find(token, run_id, lambda: _look_up(token))
        if known is None:
            raise _failed_login(token)
        g.caller = known
        _check_scope(known, needed)

    def _look_up(token: str) -> Caller | None:
        with database.looking() as session:
            return caller_of(session, token, now())

    def _turned_away(problem: ApiProblem) -> ApiProblem:
        """Count what would have changed something; looking without a token is no attempt."""
        if not is_changing():
            return problem
        return failures.count(asker(), Outcome.REFUSED, problem, None)

    def _failed_login(token: str) -> ApiProblem:
        with database.reading() as session:
            ended = ended_token(session, token)
        if ended is None:
            problem = Unauthenticated("This token is not known; it may be of another home.")
            is_ours = token.startswith(PREFIX) and token.isascii() and len(token) > 2 * _SHOWN
            told = token[: len(PREFIX) + _SHOWN] + "…" if is_ours else None
        else:
            word = "was revoked" if ended.ended_by else "has expired"
            problem = Unauthenticated(f"This token {word}; ask for another.")
            told = ended.name
        return failures.count(asker(), Outcome.FAILED_LOGIN, problem, told)


def caller() -> Caller:
    """Whose token came with this request."""
    known: Caller = g.caller
    return known


def asker() -> Requester:
    """Who sent this request, as the audit keeps it; nobody where no token was good.

    Commands go under the name of the token, which no header changes.
    """
    known: Caller | None = g.get("caller")
    role = None if known is None else known.role or Special.TRAINER
    return Requester(
        actor="" if known is None else known.name,
        token_id=None if known is None else known.token_id,
        role=None if role is None else role.value,
        address=g.get("address"),
        request_id=g.get("request_id"),
        method=request.method,
        path=request.path,
        mark=g.setdefault("mark", Mark()),
    )


def is_changing() -> bool:
    """Whether the request would change something."""
    return request.method not in SAFE


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        raise Unauthenticated("Send your token: -H 'Authorization: Bearer <token>'.")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must read 'Bearer <token>'.")
    return token.strip()


def _check_scope(known: Caller, needed: Needed) -> None:
    """Trainers have the link of their own run and nothing else; people what their role has."""
    run_id = (request.view_args or {}).get("run_id")
    if known.role is None:
        if needed is not TRAINER or run_id not in known.runs:
            raise Forbidden("A trainer's token is for its own run's link alone.")
    elif not isinstance(needed, Role):
        raise Forbidden("The link belongs to the run's trainer, which has a token of its own.")
    elif not known.role.includes(needed):
        raise Forbidden(
            f"This needs the role {needed}; the token {known.name!r} has the role {known.role}."
        )
