"""Who may come in: the request's host and origin, its token, and what the token is for."""

from flask import Flask, g, request

from control_api.database import Database
from control_api.problems import Forbidden, ForeignOrigin, Unauthenticated
from control_api.settings import Settings
from control_api.tokens import Caller, caller_of

LINK = "link"
"""The blueprint that belongs to trainers."""
OPEN_ENDPOINTS = frozenset({"health.healthz"})

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def register(app: Flask, settings: Settings, database: Database) -> None:
    """Check every request before any view, those for unknown addresses too."""
    hosts = _LOOPBACK | {settings.host.lower()} | settings.allowed_hosts

    @app.before_request
    def check() -> None:
        _check_host(hosts)
        if request.endpoint in OPEN_ENDPOINTS:
            return
        token = _bearer_token()
        with database.reading() as session:
            caller = caller_of(session, token)
        if caller is None:
            raise Unauthenticated("This token is not known; it may be of another home.")
        _check_scope(caller)
        g.caller = caller


def actor() -> str:
    """The name under which this request's commands go: its token's, never the client's choice."""
    caller: Caller = g.caller
    return caller.name


def _check_host(hosts: frozenset[str]) -> None:
    """Refuse names that are not ours: a page on the web may have its name point to 127.0.0.1."""
    if (host := _name(request.host)) not in hosts:
        raise ForeignOrigin(
            f"This API is not called {host!r}. If it should be, set MIDCOURSE_ALLOWED_HOSTS."
        )
    origin = request.headers.get("Origin")
    if origin is not None and _name(origin.partition("://")[2]) not in hosts:
        raise ForeignOrigin(f"Pages from {origin!r} may not use this API.")


def _name(authority: str) -> str:
    """The host of `host:port` or `[v6]:port`."""
    authority = authority.strip().lower()
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        raise Unauthenticated("Send your token: -H 'Authorization: Bearer <token>'.")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must read 'Bearer <token>'.")
    return token.strip()


def _check_scope(caller: Caller) -> None:
    """Trainers have the link of their own run and nothing else; people have all the rest."""
    of_link = request.blueprint is not None and request.blueprint.split(".")[-1] == LINK
    run_id = (request.view_args or {}).get("run_id")
    if caller.role is None and not (of_link and run_id in caller.runs):
        raise Forbidden("A trainer's token is for its own run's link alone.")
    if caller.role is not None and of_link:
        raise Forbidden("The link belongs to the run's trainer, which has a token of its own.")
