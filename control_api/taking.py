"""What a view takes: read off its signature once, then from each request by the strict readers.

A view names what it wants. `query` and `body` are models; `wait` is the seconds of `Prefer`;
`if_match` and `last_event_id` are headers; everything else is a part of its path. What it does not
name, a request must not have.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, get_type_hints

from flask import Response, request
from pydantic import BaseModel, Field, ValidationError, create_model

from control_api.http import preferred_wait, read_body, read_query
from control_api.idempotency import key_said
from midcourse.contract.api.values import MAX_KEY_LENGTH, MAX_WAIT_SECONDS, NoQuery, Nothing

View = Callable[..., Response]

_KEY = rf"[!#-\[\]-~]{{1,{MAX_KEY_LENGTH}}}"  # visible ASCII without quotes and backslashes
_CHANGING = frozenset({"POST", "PATCH", "DELETE"})
_SAID = ("query", "body", "wait", "if_match", "last_event_id")

# No examples: the page would send them wherever a request is tried out.
PREFER = Field(
    default=None,
    alias="Prefer",
    description=(
        "`wait=10` holds the answer back for at most 10 seconds, until it is known what came of "
        f"the request; {MAX_WAIT_SECONDS} is the most that is honoured."
    ),
)
IF_MATCH = Field(
    default=None,
    alias="If-Match",
    description="The `ETag` of what the change was decided on; if it is another by now, 412.",
)
LAST_EVENT_ID = Field(
    default=None,
    alias="Last-Event-ID",
    description="The id of the last event that was received; the stream goes on after it.",
)
IDEMPOTENCY_KEY = Field(
    default=None,
    alias="Idempotency-Key",
    pattern=rf'^("{_KEY}"|{_KEY})$',
    description=(
        "Sent again under the same key, such as a UUID, the same request makes nothing new and is "
        "answered with what the first one made."
    ),
)


@dataclass(frozen=True)
class Takes:
    """What one view takes from a request."""

    path: dict[str, Any]
    """The parts of its path, by name, with their types."""
    query: type[BaseModel]
    body: type[BaseModel] | None
    """None where a body is not looked at."""
    wait: bool
    if_match: bool
    last_event_id: bool
    key: bool
    """Whether it takes an `Idempotency-Key`, as all that change something do.

    Those that make no run and no command keep none, as a repeat comes to the same: `POST /sync`,
    `POST …/report`, and those of tokens, whose names tell.
    """

    @property
    def has_body(self) -> bool:
        """Whether a body may say something."""
        return self.body is not None and self.body is not Nothing

    @property
    def may_be_empty(self) -> bool:
        """Whether the body may be left away."""
        assert self.body is not None
        try:
            self.body.model_validate({})
        except ValidationError:
            return False
        return True


def takes_of(view: View, method: str, rule: str) -> Takes:
    """What a view takes, by its signature.

    Args:
        view: its parameters say what it wants.
        method: what it answers to.
        rule: its address as Flask has it, prefix and all.
    """
    hints = get_type_hints(view, include_extras=True)
    names = list(inspect.signature(view).parameters)
    path = {name: hints[name] for name in names if name not in _SAID}
    in_rule = set(re.findall(r"<(?:[^<:]+:)?(\w+)>", rule))
    assert set(path) == in_rule, f"{view.__name__} takes {set(path)}; {rule} has {in_rule}"
    changing = method in _CHANGING
    assert changing or "body" not in names, f"{view.__name__}: a {method} has no body"
    return Takes(
        path=path,
        query=hints.get("query", NoQuery),
        body=hints.get("body", Nothing) if changing else None,
        wait="wait" in names,
        if_match="if_match" in names,
        last_event_id="last_event_id" in names,
        key=changing,
    )


def reading(view: View, takes: Takes) -> View:
    """A view that reads from the request what `view` takes, and hands it over.

    Its annotations are what flask-openapi3 looks for.
    """
    names = frozenset(inspect.signature(view).parameters)
    query, body = takes.query, takes.body
    wants_query, wants_body = "query" in names, "body" in names

    @wraps(view)
    def read(**values: Any) -> Response:
        said = read_query(query)
        if wants_query:
            values["query"] = said
        if body is not None:
            given = read_body(body)
            if wants_body:
                values["body"] = given
        if takes.wait:
            values["wait"] = preferred_wait()
        if takes.if_match:
            values["if_match"] = request.headers.get("If-Match", "*")
        if takes.key:
            key_said()  # a malformed one is refused also where nothing is made
        if takes.last_event_id:
            values["last_event_id"] = request.headers.get("Last-Event-ID")
        return view(**values)

    read.__annotations__ = _annotations(view, takes)
    read.__delay_validate_request__ = True  # type: ignore[attr-defined]  # we have read it
    return read


def _annotations(view: View, takes: Takes) -> dict[str, type[BaseModel]]:
    """What a view takes, as flask-openapi3 understands it: one model for each place."""
    headers: dict[str, Any] = {}
    if takes.wait:
        headers["prefer"] = (str, PREFER)
    if takes.if_match:
        headers["if_match"] = (str, IF_MATCH)
    if takes.last_event_id:
        headers["last_event_id"] = (str, LAST_EVENT_ID)
    if takes.key:
        headers["idempotency_key"] = (str, IDEMPOTENCY_KEY)
    found: dict[str, type[BaseModel]] = {"query": takes.query}
    if takes.path:
        fields = {name: (kind, ...) for name, kind in takes.path.items()}
        found["path"] = create_model(f"{view.__name__}_path", **fields)  # type: ignore[call-overload]
    if headers:
        found["header"] = create_model(f"{view.__name__}_header", **headers)
    if takes.has_body:
        assert takes.body is not None
        found["body"] = takes.body
    return found
