"""The declaration of a live parameter: a value that may change during a run."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, JsonValue

from midcourse.contract.base import Record, Scalar
from midcourse.contract.interval import Interval

ParameterType = Literal[
    "number", "integer", "boolean", "string", "interval", "numbers", "patterns", "any"
]
"""`interval` is a string such as "100 steps"; `numbers` a list of them; `patterns` a list of layer
patterns such as `features.*`; `any` is left to the trainer, which alone knows what fits."""
PARAMETER_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"


class LiveParameter(Record):
    """The declaration of one live parameter."""

    name: str = Field(pattern=PARAMETER_NAME_PATTERN, max_length=100)
    type: ParameterType
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: list[str] | None = None
    """For strings: the only values allowed."""
    count: int | None = None
    """For `numbers`: how many there must be."""
    nullable: bool = False
    """Null is allowed, too; what it means the description says."""
    per_layer: bool = False
    """May also be an object, from layer patterns to a value for each."""
    ways: dict[str, list[Scalar]] = Field(default_factory=dict)
    """What may be said beside a value, as in `{"value": 0.1, "mode": "scale"}`: for each word its
    possible answers, the default first."""
    unit: str = ""
    takes_effect: str = "the next step"
    read_back: str = ""
    """Where the value in a receipt is read from."""
    description: str = ""

    def parse(self, said: Any) -> "Change":
        """A change as it was asked for: a value, or an object with the value and the ways.

        Raises:
            ValueError: in one sentence, what is wrong and what is allowed.
        """
        ways = {word: answers[0] for word, answers in self.ways.items()}
        if not self.ways or not isinstance(said, dict):
            value = self.check(said)
            return Change(value, ways, value)
        words = ", ".join(self.ways)
        if strangers := sorted(said.keys() - {"value", *self.ways}):
            raise ValueError(f"has no {strangers[0]!r}; beside the value there may be: {words}")
        if "value" not in said:
            raise ValueError(f"needs a 'value' beside {', '.join(sorted(said)) or 'nothing'}")
        for word, answers in self.ways.items():
            answer = said.get(word, answers[0])
            if not any(answer == known and type(answer) is type(known) for known in answers):
                allowed = ", ".join(map(json.dumps, answers))
                raise ValueError(f"{word} must be one of {allowed}, not {json.dumps(answer)}")
        value = self.check(said["value"])
        return Change(
            value,
            ways | {word: said[word] for word in ways if word in said},
            {**said, "value": value},
        )

    def check(self, value: Any) -> JsonValue:
        """The value as this parameter holds it: a whole number becomes a float for `number`.

        Raises:
            ValueError: in one sentence, what is wrong and what is allowed.
        """
        if value is None and self.nullable:
            return None
        if self.per_layer and isinstance(value, dict):
            return {pattern: self._check_one(one) for pattern, one in value.items()}
        return self._check_one(value)

    def _check_one(self, value: Any) -> JsonValue:
        checked: JsonValue = self._of_type(value)
        if isinstance(checked, list) and self.type == "numbers":
            for number in checked:
                assert isinstance(number, float)
                self._check_bounds(number)
        elif isinstance(checked, int | float) and not isinstance(checked, bool):
            self._check_bounds(checked)
        if self.choices is not None and checked not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
        return checked

    def _of_type(self, value: Any) -> Any:
        match self.type:
            case "any":
                return value
            case "interval" if isinstance(value, str):
                return str(Interval.parse(value))
            case "numbers" if isinstance(value, list) and self.count in (None, len(value)):
                if all(_is_number(number) for number in value):
                    return [self._finite(number) for number in value]
            case "patterns" if isinstance(value, list):
                if all(isinstance(pattern, str) and pattern for pattern in value):
                    return list(dict.fromkeys(value))
            case "boolean" if isinstance(value, bool):
                return value
            case "string" if isinstance(value, str):
                return value
            case "integer" if isinstance(value, int) and not isinstance(value, bool):
                return value
            case "number" if _is_number(value):
                return self._finite(value)
        raise ValueError(f"must be {self._in_words()}, not {_shown(value)}")

    def _finite(self, value: float) -> float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"must be a finite number{self._bounds_text()}, not {_shown(value)}")
        return number

    def _check_bounds(self, value: float) -> None:
        inside = (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )
        if not inside:
            raise ValueError(f"must be {self._in_words()}, not {_shown(value)}")

    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by JSON-like name: `{"ge": 0.0, "lt": 1.0}`."""
        pairs = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in pairs.items() if bound is not None}

    def _in_words(self) -> str:
        what = f"{self.count} numbers" if self.count else _ARTICLE[self.type]
        each = ", each" if self.type == "numbers" and self.bounds() else ""
        null = ", or null" if self.nullable else ""
        return f"{what}{each}{self._bounds_text()}{null}"

    def _bounds_text(self) -> str:
        words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        parts = [f"{words[name]} {bound:.15g}" for name, bound in self.bounds().items()]
        return f" {' and '.join(parts)}" if parts else ""

    def json_schema(self) -> dict[str, Any]:
        """This parameter as a JSON Schema (2020-12), for forms and clients."""
        words = {
            "ge": "minimum",
            "gt": "exclusiveMinimum",
            "le": "maximum",
            "lt": "exclusiveMaximum",
        }
        one = dict(_SCHEMAS[self.type])
        bounds = {words[name]: bound for name, bound in self.bounds().items()}
        if self.type == "numbers":
            one["items"] = {"type": "number", **bounds}
            if self.count is not None:
                one |= {"minItems": self.count, "maxItems": self.count}
        else:
            one |= bounds
        if self.choices is not None:
            one["enum"] = list(self.choices)
        forms = [one]
        if self.nullable:
            forms.append({"type": "null"})
        if self.per_layer:
            forms.append({"type": "object", "additionalProperties": one})
        if self.ways:
            value = {"anyOf": forms} if len(forms) > 1 else one
            ways = {word: {"enum": answers} for word, answers in self.ways.items()}
            forms = [
                *forms,
                {
                    "type": "object",
                    "properties": {"value": value, **ways},
                    "required": ["value"],
                    "additionalProperties": False,
                },
            ]
        schema = one if len(forms) == 1 else {"anyOf": forms}
        return {**schema, "description": self.description}


@dataclass(frozen=True)
class Change:
    """A new value for one live parameter, as its declaration understood it."""

    value: JsonValue
    ways: dict[str, Scalar] = field(default_factory=dict)
    """An answer for every word of the declaration's `ways`."""
    said: JsonValue = None
    """What it was made of, in the form that commands carry."""


_SCHEMAS: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "string": {"type": "string"},
    "interval": {"type": "string", "examples": ["100 steps", "1 epoch"]},
    "numbers": {"type": "array"},
    "patterns": {"type": "array", "items": {"type": "string"}},
    "any": {},
}

_ARTICLE = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a string",
    "interval": 'an interval such as "100 steps" or "1 epoch"',
    "numbers": "a list of numbers",
    "patterns": "a list of layer patterns",
    "any": "a value",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return f'the string "{value[:40]}"'
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
