"""What a view may answer, as OpenAPI says it: a schema for each status, and every problem type."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, create_model

from control_api.problems import ApiProblem
from midcourse.contract.errors import Problem

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"
HTML = "text/html"
EVENTS = "text/event-stream"
PROBLEM_JSON = "application/problem+json"
REF = "#/components/schemas/"

PLAIN = {
    404: "There is nothing at this address",
    413: "The body is larger than this address takes",
    500: "A fault of the control API; its log says more",
}
"""What HTTP itself has a word for: problems of the type `about:blank`."""

_HEADERS = {
    "Content-Disposition": "The file name to keep it under.",
    "ETag": "The revision of what is answered, for `If-Match`.",
    "Idempotency-Replayed": "`true` where an earlier request with this key made it.",
    "Location": "The address of what was made.",
    "Log-Offset": "Where in the log the body begins, in bytes.",
    "Next-Offset": "The `offset` to go on with; not with `follow`, whose end is not known.",
    "Preference-Applied": "The `wait` that was honoured.",
    "Retry-After": "Seconds after which to try again.",
    "WWW-Authenticate": "How to say who asks.",
}
_PROBLEM_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}

Kind = type[ApiProblem] | None
"""A problem; None: one that is plain HTTP."""


@dataclass(frozen=True)
class Gives:
    """One answer of a view that did what was asked."""

    model: type[BaseModel] | None = None
    """What the body is or, where it is not JSON, what each of its lines is."""
    status: int = 200
    about: str = ""
    """What it means, in a sentence; nothing where the status says all."""
    headers: tuple[str, ...] = ()
    media: str = JSON

    def response(self, more_headers: Iterable[str]) -> dict[str, Any]:
        """The response object of OpenAPI."""
        is_json = self.media == JSON
        content: dict[str, Any] = {"schema": {"type": "object" if is_json else "string"}}
        if self.model is not None:
            content["schema" if is_json else "x-line"] = {"$ref": REF + self.model.__name__}
        return {
            "description": self.about or HTTPStatus(self.status).phrase,
            "headers": _headers([*self.headers, *more_headers]),
            "content": {self.media: content},
        }


def refusals(kinds: Iterable[Kind], plain: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The response objects of what is refused, by status.

    Args:
        kinds: the problems there can be.
        plain: the statuses that may also be answered in HTTP's own words alone.
    """
    by_status: dict[int, list[Kind]] = {status: [None] for status in plain}
    for kind in dict.fromkeys(kinds):
        assert kind is not None
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _refusal(status, found) for status, found in sorted(by_status.items())}


def problem_model(kind: Kind) -> type[BaseModel]:
    """The body of one problem's answer as a model."""
    members: dict[str, Any] = {"type": _type(kind)}
    if kind is not None:
        members |= {"title": kind.title, "status": kind.status}
    fields: dict[str, Any] = {name: Literal[value] for name, value in members.items()}
    model: type[BaseModel] = create_model(
        _name(kind),
        __base__=Problem,
        __doc__="What HTTP itself has a word for." if kind is None else inspect.getdoc(kind),
        **fields,
        **({} if kind is None else kind.adds),
    )
    return model


def _refusal(status: int, kinds: Sequence[Kind]) -> dict[str, Any]:
    refs = {_type(kind): REF + _name(kind) for kind in kinds}
    schema: dict[str, Any] = {"oneOf": [{"$ref": ref} for ref in refs.values()]}
    schema["discriminator"] = {"propertyName": "type", "mapping": refs}
    said = [PLAIN[status] if kind is None else f"{kind.title} (`{kind.slug}`)" for kind in kinds]
    return {
        "description": "; ".join(said) + ".",
        "headers": _headers(_PROBLEM_HEADERS.get(status, ())),
        "content": {PROBLEM_JSON: {"schema": schema}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def _type(kind: Kind) -> str:
    return "about:blank" if kind is None else f"/problems/{kind.slug}"


def _name(kind: Kind) -> str:
    return "PlainProblem" if kind is None else f"{kind.__name__}Problem"
