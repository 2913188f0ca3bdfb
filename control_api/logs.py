"""Logging: one line to standard error for each thing that happened. Never a token, never a body."""

import logging
import secrets
import sys
import time

from flask import Flask, Response, g, request

from control_api.guard import LINK

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
REQUEST_ID = "X-Request-Id"

log = logging.getLogger(__name__)


def set_up(level: str) -> None:
    """Send this program's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def register(app: Flask) -> None:
    """Number every request and log its outcome; trainers' constant talk only at DEBUG."""

    @app.before_request
    def begin() -> None:
        g.request_id = secrets.token_hex(8)
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        caller = g.get("caller")
        quiet = request.blueprint == f"api.{LINK}" or request.endpoint == "health.healthz"
        log.log(
            logging.DEBUG if quiet and response.status_code < 500 else logging.INFO,
            "request=%s method=%s path=%r status=%d ms=%.0f actor=%r",
            g.request_id,
            request.method,
            request.path,
            response.status_code,
            (time.monotonic() - g.began) * 1000,
            caller.name if caller else None,
        )
        return response
