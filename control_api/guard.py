"""Who may come in: the request's host and origin, its token, and what the token is for."""

from collections.abc import Callable
from datetime import datetime

from flask import Flask, current_app, request
from werkzeug.wrappers import Request

from control_api.database import Database
from control_api.known_trainers import KnownTrainers
from control_api.login_failures import LoginFailures
from control_api.origins import Names
from control_api.problems import ApiProblem, Forbidden, ForeignOrigin, Unauthenticated
from control_api.proxies import client_address
from control_api.roles import OPEN, TRAINER, Needed, needed_by
from control_api.settings import Settings
from control_api.tokens import PREFIX, Caller, caller_of, ended_token
from control_api.visit import Visit, visit
from midcourse.contract.api.audit import Outcome
from midcourse.contract.base import utc_now
from midcourse.contract.roles import Role

_SHOWN = 4
"""Characters behind the prefix of a failed token that the audit keeps, so that its owner may know
it again: one that has not our prefix may be a password, and none of it is kept."""


class Guard:
    """Checks every request before anything is done for it."""

    def __init__(
        self, settings: Settings, database: Database, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._now = now
        self._proxies = settings.trusted_proxies
        self._names = Names(settings)
        self._failures = LoginFailures(settings, database, now)
        self._trainers = KnownTrainers(database.bell)

    def admit(self, request: Request, visit: Visit, needed: Needed, run_id: str | None) -> None:
        """Let a request in, and note whose it is.

        Args:
            request: as it came.
            visit: where it is noted.
            needed: what it needs.
            run_id: the run that it is about.

        Raises:
            ForeignOrigin: it is addressed to another, or a page of another sent it.
            Unauthenticated: it has no good token.
            TooManyFailedLogins: of those there were many.
            Forbidden: its token is good for other things.
        """
        forwarded_for = request.headers.get("X-Forwarded-For")
        visit.address = client_address(request.remote_addr, forwarded_for, self._proxies)
        try:
            target = request.environ.get("RAW_URI", "")
            self._names.check(request.method, target, request.headers)
        except ForeignOrigin as problem:
            raise self._turned_away(visit, problem) from None
        if needed is OPEN:
            return
        try:
            token = _bearer_token(request)
        except Unauthenticated as problem:
            raise self._turned_away(visit, problem) from None
        of_run = run_id if needed is TRAINER else None
        visit.caller = self._trainers.find(token, of_run, lambda: self._look_up(token))
        if visit.caller is None:
            raise self._failed_login(visit, token)
        _check_scope(visit.caller, needed, run_id)

    def _look_up(self, token: str) -> Caller | None:
        with self._database.looking() as session:
            return caller_of(session, token, self._now())

    def _turned_away(self, visit: Visit, problem: ApiProblem) -> ApiProblem:
        """Count what would have changed something; looking without a token is no attempt."""
        if not visit.is_changing:
            return problem
        return self._failures.count(visit.requester, Outcome.REFUSED, problem, None)

    def _failed_login(self, visit: Visit, token: str) -> ApiProblem:
        with self._database.reading() as session:
            ended = ended_token(session, token)
        if ended is None:
            problem = Unauthenticated("This token is not known; it may be of another home.")
            is_ours = token.startswith(PREFIX) and token.isascii() and len(token) > 2 * _SHOWN
            told = token[: len(PREFIX) + _SHOWN] + "…" if is_ours else None
        else:
            word = "was revoked" if ended.ended_by else "has expired"
            problem = Unauthenticated(f"This token {word}; ask for another.")
            told = ended.name
        return self._failures.count(visit.requester, Outcome.FAILED_LOGIN, problem, told)


def register(app: Flask, guard: Guard) -> None:
    """Check every request before any view, those for unknown addresses too."""

    @app.before_request
    def check() -> None:
        needed = needed_by(current_app, request.endpoint)
        guard.admit(request, visit(), needed, (request.view_args or {}).get("run_id"))


def caller() -> Caller:
    """Whose token came with this request."""
    known = visit().caller
    assert known is not None
    return known


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        raise Unauthenticated("Send your token: -H 'Authorization: Bearer <token>'.")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must read 'Bearer <token>'.")
    return token.strip()


def _check_scope(known: Caller, needed: Needed, run_id: str | None) -> None:
    """Trainers have the link of their own run and nothing else; people what their role has."""
    if known.role is None:
        if needed is not TRAINER or run_id not in known.runs:
            raise Forbidden("A trainer's token is for its own run's link alone.")
    elif not isinstance(needed, Role):
        raise Forbidden("The link belongs to the run's trainer, which has a token of its own.")
    elif not known.role.includes(needed):
        raise Forbidden(
            f"This needs the role {needed}; the token {known.name!r} has the role {known.role}."
        )
