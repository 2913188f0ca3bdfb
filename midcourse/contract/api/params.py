"""Live parameters: their values and what they may become."""

from pydantic import Field, JsonValue

from midcourse.contract.base import Record
from midcourse.contract.names import RunId


class ParametersAnswer(Record):
    """Answer of `GET /runs/{id}/params`; the revision is also its `ETag`."""

    run: RunId
    revision: int
    """Grows with every edit accepted and every value changed; `If-Match` compares it."""
    values: dict[str, JsonValue]
    parameters_schema: dict[str, JsonValue] = Field(serialization_alias="schema")
    """JSON Schema (2020-12) of a `PATCH` of this address."""
