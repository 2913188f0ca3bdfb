"""Live parameters: their values and what they may become."""

from pydantic import AliasChoices, ConfigDict, Field, JsonValue, RootModel

from midcourse.contract.api import examples
from midcourse.contract.base import Record, with_examples
from midcourse.contract.commands import Changes
from midcourse.contract.names import RunId


class ParameterChanges(RootModel[Changes]):
    """Body of `PATCH /runs/{id}/params`: names of live parameters, and what they are to be.

    What is allowed is the run's own; `GET` of the same address has the JSON Schema.
    """

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "minProperties": 1,
            "examples": [
                {"optimizer.lr": 0.02, "model.dropout": 0.2},
                {"optimizer.lr": {"value": 0.5, "mode": "scale"}},
            ],
        },
    )


class ParametersAnswer(Record):
    """Answer of `GET /runs/{id}/params`; the revision is also its `ETag`."""

    model_config = with_examples(
        {
            "run": examples.RUN_ID,
            "revision": 1,
            "values": examples.VALUES,
            "schema": {"type": "object"},
        }
    )

    run: RunId
    revision: int
    """Grows with every edit accepted and every value changed; `If-Match` compares it."""
    values: dict[str, JsonValue]
    parameters_schema: dict[str, JsonValue] = Field(
        validation_alias=AliasChoices("parameters_schema", "schema"), serialization_alias="schema"
    )
    """JSON Schema (2020-12) of a `PATCH` of this address."""
