"""Every error as problem+json (RFC 9457), registered once; views hold no try/except."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from control_api.problems import ApiProblem
from midcourse.contract.errors import InvalidInput, Problem

log = logging.getLogger(__name__)

_DETAILS = {
    404: "There is nothing at this address; GET /api/v1/runs is a place to start.",
    413: "The body is larger than this address takes.",
}


def register(app: Flask) -> None:
    """Let every error leave as problem+json."""
    app.register_error_handler(ApiProblem, _api_problem)
    app.register_error_handler(InvalidInput, _invalid_input)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(OperationalError, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _api_problem(error: ApiProblem) -> Response:
    problem = Problem(
        type=error.type,
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=request.path,
        faults=error.faults,
    )
    return _answer(problem, error.headers, error.extensions)


def _invalid_input(error: InvalidInput) -> Response:
    problem = Problem(
        type="/problems/invalid-input",
        title="The request is not acceptable",
        status=422,
        detail=str(error),
        instance=request.path,
        faults=error.faults,
    )
    return _answer(problem)


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    allowed = error.get_headers()
    headers = {name: value for name, value in allowed if name in ("Allow", "Retry-After")}
    detail = _DETAILS.get(status, error.description)
    if "Allow" in headers:
        detail = f"{request.method} is not understood here; allowed: {headers['Allow']}."
    problem = Problem(title=error.name, status=status, detail=detail, instance=request.path)
    return _answer(problem, headers)


def _database_away(error: OperationalError) -> Response:
    log.error("the database does not answer: %s", error.orig)
    problem = Problem(
        type="/problems/database-away",
        title="The database does not answer",
        status=503,
        detail="Nothing was changed. Try again; trainers go on meanwhile.",
        instance=request.path,
    )
    return _answer(problem, {"Retry-After": "1"})


def _unexpected(error: Exception) -> Response:
    log.exception("unexpected error in %s %s", request.method, request.path, exc_info=error)
    problem = Problem(
        title="Internal Server Error",
        status=500,
        detail="This is a fault of the control API; its log says more. Trainers go on.",
        instance=request.path,
    )
    return _answer(problem)


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
