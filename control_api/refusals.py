"""What was refused to somebody whom we know, noted in the audit when it is answered.

What was accepted is noted in the transaction of its effect (`control_api.asking`); of strangers the
guard takes note (`control_api.login_failures`).
"""

import logging
from typing import Any

from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from control_api.asking import note
from control_api.database import Database
from control_api.guard import asker, is_changing
from control_api.roles import LINK
from midcourse.contract.api.audit import Outcome

log = logging.getLogger(__name__)


def register(app: Flask, database: Database) -> None:
    """Note every request that would have changed something and left no note in doing so."""

    @app.after_request
    def end(response: Response) -> Response:
        caller = g.get("caller")
        if caller is None or not is_changing() or _is_trainers_talk() or asker().mark.kept:
            return response
        try:
            _note(database, response)
        except SQLAlchemyError as error:
            # The answer stands; where the database is away, nothing was changed either.
            log.error("request=%s has no line in the audit: %s", g.request_id, type(error).__name__)
        return response


def _is_trainers_talk() -> bool:
    return g.caller.role is None and request.blueprint is not None and LINK in request.blueprint


def _note(database: Database, response: Response) -> None:
    refused = response.status_code >= 400
    with database.writing() as session:
        note(
            session,
            asker(),
            _asked(),
            outcome=Outcome.REFUSED if refused else Outcome.ACCEPTED,
            run_id=(request.view_args or {}).get("run_id"),
            subject=(request.view_args or {}).get("name"),
            status=response.status_code,
            problem=_problem(response) if refused else None,
        )


def _asked() -> str | None:
    """What was asked for: the verb of the address, or the name of the view."""
    arguments: dict[str, Any] = request.view_args or {}
    if "verb" in arguments:
        return str(arguments["verb"])
    return None if request.endpoint is None else request.endpoint.rpartition(".")[2]


def _problem(response: Response) -> str | None:
    body = response.get_json(silent=True) if response.is_json else None
    return body.get("type") if isinstance(body, dict) else None
