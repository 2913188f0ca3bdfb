"""Logging: one line to standard error for each thing that happened. Never a token, never a body.

A line is a JSON object, or words for people. Either says what it is about: the request, the run,
its attempt, who asked.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from flask import Flask, g, request
from werkzeug.wrappers import Response

from control_api.visit import REQUEST_ID, Visit

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 (never changed)

log = logging.getLogger(__name__)


def set_up(level: str, form: str | None = None) -> None:
    """Send this program's log to standard error.

    Args:
        level: what is left out.
        form: `json` or `text`; None: text on a terminal, else JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler.setFormatter(JsonLines() if form == "json" else Words())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def about(**what: Any) -> Iterator[None]:
    """Have all lines that this thread logs within say what they are about, such as `run=…`."""
    token = _about.set(_about.get() | what)
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """A JSON object for each record; an exception's trace is a part of it, not more lines."""

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": os.getpid(),
            "message": record.getMessage(),
            **_details(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Words(logging.Formatter):
    """A line for people: `2026-01-02 03:04:05,678 INFO control_api.logs: … (run=r7)`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: D102, N802
        message, details = _on_one_line(super().formatMessage(record)), _details(record)
        words = " ".join(
            f"{name}={_word(details[name])}"
            for name in ("request", "run", "attempt", "actor")
            if name in details and str(details[name]) not in message
        )
        return message + (f" ({words})" if words else "")


def _details(record: logging.LogRecord) -> dict[str, Any]:
    told = _about.get() | getattr(record, "about", {})
    return {name: value for name, value in told.items() if value is not None}


def _on_one_line(text: str) -> str:
    """Without what would begin a line of its own, or tell the terminal something.

    A trainer's notice may hold anything.
    """
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], text)


def _word(value: Any) -> str:
    """As it is, if nobody can take it for more than one word of one line."""
    text = str(value)
    return text if re.fullmatch(r"[!-~]+", text) else repr(text)


def register(app: Flask) -> None:
    """Number every request and log its outcome."""

    @app.before_request
    def begin() -> None:
        g.visit = Visit.of(request)
        run = (request.view_args or {}).get("run_id")
        _about.set({"request": g.visit.request_id, "run": run})

    @app.after_request
    def end(response: Response) -> Response:
        finish(g.visit, response, quiet=request.endpoint in QUIET_ENDPOINTS)
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        _about.set({})


def finish(visit: Visit, response: Response, *, quiet: bool) -> None:
    """Add what every answer says, and log the outcome.

    Args:
        visit: the request.
        response: its answer.
        quiet: programs ask this all the time: only at DEBUG, unless we have a fault.
    """
    response.headers[REQUEST_ID] = visit.request_id
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    level = logging.DEBUG if quiet and response.status_code < 500 else logging.INFO
    if not log.isEnabledFor(level):
        return
    milliseconds = round(visit.seconds * 1000, 1)
    log.log(
        level,
        "%s %s: %d in %.0f ms",
        visit.method,
        _word(visit.path),
        response.status_code,
        milliseconds,
        extra={
            "about": {
                "actor": visit.caller.name if visit.caller else None,
                "method": visit.method,
                "path": visit.path,
                "status": response.status_code,
                "ms": milliseconds,
            }
        },
    )


QUIET_ENDPOINTS = frozenset({"health.healthz", "health.readyz", "observation.exposition"})
