"""Requests into contract models, contract models into answers."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from control_api.answers import JSON, MERGE_PATCH
from control_api.dialects import storable
from control_api.problems import MalformedBody, WrongMediaType
from midcourse.contract.api.values import MAX_WAIT_SECONDS
from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput, faults_of

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 100
"""Of lists and objects in a body."""

_JSON_TYPES = (JSON, MERGE_PATCH)


def body_of(request: Request) -> bytes:
    """The body of a request as it came.

    Raises:
        RequestEntityTooLarge: it is larger than the address takes. Of one that does not say its
            length beforehand, werkzeug would hand out the beginning as if it were all.
    """
    data = request.get_data()
    most = request.max_content_length
    if request.content_length is None and most is not None and len(data) >= most:
        raise RequestEntityTooLarge
    return data


def read_json() -> Any:
    """The body as JSON; `{}` where there is none.

    Raises:
        MalformedBody: it is no JSON, or holds what no database can store.
        WrongMediaType: it is not declared as JSON.
        RequestEntityTooLarge: it is larger than the application takes.
    """
    data = body_of(request)
    if not data:
        return {}
    if request.mimetype not in _JSON_TYPES:
        raise WrongMediaType(
            f"The Content-Type is {request.mimetype or 'missing'}. Send JSON with the header "
            "'Content-Type: application/json' (`curl --json` does it)."
        )
    try:
        value = strict_json_loads(data.decode("utf-8"))
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate ends here
        if b"\\u0000" in data and storable(value) != value:
            raise ValueError("it has the character NUL, which no database holds")
    except UnicodeError:
        raise MalformedBody("The body is not text in UTF-8.") from None
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from None
    return value


def _check_depth(value: Any) -> None:
    """What merges, checks, stores and shows a body goes down into it, by calls that have an end."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        inside = [part.values() if isinstance(part, dict) else part for part in level]
        level = [each for part in inside for each in part if isinstance(each, dict | list)]
        if not level:
            return
    raise ValueError(f"lists and objects are nested too deeply: more than {MAX_DEPTH} of them")


def read_object() -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        MalformedBody: it is something else.
    """
    value = read_json()
    if not isinstance(value, dict):
        raise MalformedBody("The body must be a JSON object: {…}.")
    return value


def read_body(model: type[M]) -> M:
    """The body as a model.

    Raises:
        InvalidInput: with every fault by its path.
    """
    given = read_object()
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(faults_of(error)) from None


def read_query(model: type[M]) -> M:
    """The query string as a model.

    Raises:
        InvalidInput: with every fault by its path.
    """
    return query_of(request, model)


def query_of(request: Request, model: type[M]) -> M:
    """The query string of a request as a model; unknown and repeated names are refused.

    Raises:
        InvalidInput: with every fault by its path.
    """
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise InvalidInput(
            [Fault(path=name, message="stands twice in the query") for name in repeated]
        )
    try:
        return model.model_validate_strings(request.args.to_dict())
    except ValidationError as error:
        raise InvalidInput(faults_of(error)) from None


def preferred_wait() -> int:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most `MAX_WAIT_SECONDS`; 0 without it.

    Raises:
        InvalidInput: N is no whole number.
    """
    for preference in request.headers.get("Prefer", "").split(","):
        name, _, value = preference.partition("=")
        if name.strip().lower() != "wait":
            continue
        if not re.fullmatch(r"\d{1,9}", value.strip(), re.ASCII):
            raise InvalidInput(
                [
                    Fault(
                        path="Prefer",
                        message=f"wait must be a whole number of seconds, not {value.strip()!r}",
                        allowed={"ge": 0, "le": MAX_WAIT_SECONDS},
                    )
                ]
            )
        return min(int(value), MAX_WAIT_SECONDS)
    return 0


def answer(record: Record, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A model as a JSON answer."""
    return Response(
        record.model_dump_json(by_alias=True) + "\n",
        status=status,
        content_type=JSON,
        headers=dict(headers or {}),
    )
