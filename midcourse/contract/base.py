"""The base of all contract models, and JSON that refuses what JSON does not have."""

import json
import math
from datetime import UTC, datetime
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict

Scalar = bool | int | float | str
"""What a live parameter holds. `bool` stands first: True must never be taken for 1."""


MAX_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader and the database hold exactly."""


class Record(BaseModel):
    """An immutable value. Unknown fields are refused; numbers are finite; types are not coerced."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,  # as `to_json` writes them
    )

    def to_json(self) -> str:
        """One line of JSON, with every field, so that readers need not know the defaults."""
        return self.model_dump_json()


def with_examples(*examples: Any) -> ConfigDict:
    """Part of a model's configuration: what its JSON Schema shows as examples."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def utc_now() -> datetime:
    """The present, as an aware time in UTC."""
    return datetime.now(UTC)


def strict_json_loads(text: str | bytes) -> Any:
    """Parse JSON as RFC 8259 has it.

    Python's parser also takes `NaN`, `Infinity`, numbers that overflow to infinity, and the same
    key twice; each would let a value through that the sender cannot have meant.

    Raises:
        ValueError: with what is wrong, and where the parser knows it.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise ValueError("lists and objects are nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; send a finite number")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is too large for a 64-bit number")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one object")
        result[key] = value
    return result
