"""Every error as problem+json (RFC 9457), registered once; views hold no try/except."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request

from control_api.dialects import AWAY
from control_api.problems import ApiProblem, DatabaseAway, InvalidRequest
from midcourse.contract.errors import InvalidInput, Problem

log = logging.getLogger(__name__)

_AWAY = (
    "What was under way was undone, unless it had just been finished. Try again, best with an "
    "Idempotency-Key; trainers go on meanwhile."
)

_DETAILS = {
    404: "There is nothing at this address; GET /api/v1/runs is a place to start.",
    413: "The body is larger than this address takes.",
}


def register(app: Flask) -> None:
    """Let every error leave as problem+json."""
    app.register_error_handler(Exception, lambda error: answer_to(error, request))


def answer_to(error: Exception, request: Request) -> Response:
    """The answer to a request that ended in an error."""
    if isinstance(error, InvalidInput):
        error = InvalidRequest(str(error), faults=error.faults)
    elif isinstance(error, AWAY):
        log.error("the database does not answer: %s", getattr(error, "orig", error))
        error = DatabaseAway(_AWAY)
    if isinstance(error, ApiProblem):
        return _answer(_problem(error, request.path), error.headers, error.extensions)
    if isinstance(error, HTTPException):
        return _http_exception(error, request)
    what = f"in {request.method} {request.path}"
    return _answer(_unexpected(error, what, request.path))


def problem_of(error: Exception, instance: str) -> Problem:
    """Any error as what tells of it, where it is a part of an answer and not all of it."""
    if isinstance(error, InvalidInput):
        error = InvalidRequest(str(error), faults=error.faults)
    elif isinstance(error, AWAY):
        error = DatabaseAway(_AWAY)
    if isinstance(error, ApiProblem):
        return _problem(error, instance)
    return _unexpected(error, f"about {instance}", instance)


def _unexpected(error: Exception, where: str, instance: str) -> Problem:
    log.exception("unexpected error %s", where, exc_info=error)
    return Problem(
        title="Internal Server Error",
        status=500,
        detail="This is a fault of the control API; its log says more. Trainers go on.",
        instance=instance,
    )


def _problem(error: ApiProblem, instance: str) -> Problem:
    return Problem(
        type=error.type,
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        faults=error.faults,
    )


def _http_exception(error: HTTPException, request: Request) -> Response:
    status = error.code or 500
    allowed = error.get_headers()
    headers = {name: value for name, value in allowed if name in ("Allow", "Retry-After")}
    detail = _DETAILS.get(status, error.description)
    if "Allow" in headers:
        detail = f"{request.method} is not understood here; allowed: {headers['Allow']}."
    problem = Problem(title=error.name, status=status, detail=detail, instance=request.path)
    return _answer(problem, headers)


def _answer(
    problem: Problem,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> Response:
    body = problem.model_dump(mode="json") | dict(extensions or {})
    return Response(
        json.dumps(body) + "\n",
        status=problem.status,
        content_type="application/problem+json",
        headers=dict(headers or {}),
    )
