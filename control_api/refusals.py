"""What was refused to somebody whom we know, noted in the audit when it is answered.

What was accepted is noted in the transaction of its effect (`control_api.asking`); of strangers the
guard takes note (`control_api.login_failures`).
"""

import logging
from typing import Any

from flask import Flask, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from control_api.asking import note
from control_api.database import Database
from control_api.visit import Visit, visit
from midcourse.contract.api.audit import Outcome

log = logging.getLogger(__name__)


def register(app: Flask, database: Database) -> None:
    """Note every request that would have changed something and left no note in doing so."""

    @app.after_request
    def end(response: Response) -> Response:
        arguments: dict[str, Any] = request.view_args or {}
        keep(
            database,
            visit(),
            response,
            _asked(),
            run_id=arguments.get("run_id"),
            subject=arguments.get("name"),
        )
        return response


def keep(
    database: Database,
    visit: Visit,
    response: Response,
    asked: str | None,
    *,
    run_id: str | None = None,
    subject: str | None = None,
) -> None:
    """Note a request that would have changed something, unless it left a note in doing so.

    Args:
        database: where the audit is.
        visit: who sent it.
        response: what it was answered.
        asked: what was asked for.
        run_id: the run that it was about.
        subject: what else it was about.
    """
    if visit.caller is None or not visit.is_changing or visit.mark.kept:
        return
    refused = response.status_code >= 400
    try:
        with database.writing() as session:
            note(
                session,
                visit.requester,
                asked,
                outcome=Outcome.REFUSED if refused else Outcome.ACCEPTED,
                run_id=run_id,
                subject=subject,
                status=response.status_code,
                problem=_problem(response) if refused else None,
            )
    except SQLAlchemyError as error:
        # The answer stands; where the database is away, nothing was changed either.
        log.error("request=%s has no line in the audit: %s", visit.request_id, type(error).__name__)


def _asked() -> str | None:
    """What was asked for: the verb of the address, or the name of the view."""
    arguments: dict[str, Any] = request.view_args or {}
    if "verb" in arguments:
        return str(arguments["verb"])
    return None if request.endpoint is None else request.endpoint.rpartition(".")[2]


def _problem(response: Response) -> str | None:
    body = response.get_json(silent=True) if response.is_json else None
    return body.get("type") if isinstance(body, dict) else None
