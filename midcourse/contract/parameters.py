"""Live parameters: values that may change during a run, and the table of the built-in ones.

The table is the one source of the API's schema, the console's form, the command line's completion
and `docs/parameters.md`. How a value is applied to and read back from live objects is the
plugin's part (`midcourse.live`); a new built-in is one row here and one binding there.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from midcourse.contract.base import Record, Scalar
from midcourse.contract.errors import Fault

ParameterType = Literal["number", "integer", "boolean", "string"]
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
    unit: str = ""
    takes_effect: str = "the next step"
    read_back: str = ""
    """Where the value in a receipt is read from."""
    description: str = ""

    def check(self, value: Any) -> Scalar:
        """The value as this parameter holds it: a whole number becomes a float for `number`.

        Raises:
            ValueError: in one sentence, what is wrong and what is allowed.
        """
        checked = self._of_type(value)
        if isinstance(checked, int | float) and not isinstance(checked, bool):
            self._check_bounds(checked)
        if self.choices is not None and checked not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
        return checked

    def _of_type(self, value: Any) -> Scalar:
        match self.type:
            case "boolean" if isinstance(value, bool):
                return value
            case "string" if isinstance(value, str):
                return value
            case "integer" if isinstance(value, int) and not isinstance(value, bool):
                return value
            case "number" if isinstance(value, int | float) and not isinstance(value, bool):
                return self._finite(value)
        raise ValueError(f"must be {_ARTICLE[self.type]}{self._bounds_text()}, not {_shown(value)}")

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
            raise ValueError(
                f"must be {_ARTICLE[self.type]}{self._bounds_text()}, not {_shown(value)}"
            )

    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by JSON-like name: `{"ge": 0.0, "lt": 1.0}`."""
        pairs = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in pairs.items() if bound is not None}

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
        schema: dict[str, Any] = {"type": self.type, "description": self.description}
        schema |= {words[name]: bound for name, bound in self.bounds().items()}
        if self.choices is not None:
            schema["enum"] = list(self.choices)
        return schema


_ARTICLE = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a string",
}


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return f'the string "{value[:40]}"'
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def check_changes(
    declared: Mapping[str, LiveParameter], changes: Mapping[str, Any]
) -> tuple[dict[str, Scalar], list[Fault]]:
    """Check names, types and bounds of all changes at once.

    Returns:
        The checked values, and one fault for each change that cannot be accepted.
    """
    checked: dict[str, Scalar] = {}
    faults: list[Fault] = []
    for name, value in changes.items():
        if name not in declared:
            faults.append(unknown_parameter(name, declared))
            continue
        try:
            checked[name] = declared[name].check(value)
        except ValueError as error:
            faults.append(
                Fault(path=name, message=str(error), allowed=declared[name].json_schema())
            )
    return checked, faults


def unknown_parameter(name: str, allowed: Iterable[str]) -> Fault:
    """The fault for a name that this run does not have, with the near miss where there is one."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    here = " of this run" if name in BUILT_IN else ""
    return Fault(
        path=name,
        message=f"is not a live parameter{here}.{hint} Allowed: {', '.join(names) or 'none'}",
        allowed=list(names),
    )


_ROWS = [
    LiveParameter(
        name="optimizer.lr",
        type="number",
        gt=0.0,
        read_back="the base rate of the schedule, or the param group's `lr` where there is none",
        description=(
            "Learning rate: the base that the schedule shapes. Setting it rebases the schedule "
            "from the next step on. Parameter groups keep their ratios."
        ),
    ),
    LiveParameter(
        name="optimizer.momentum",
        type="number",
        ge=0.0,
        lt=1.0,
        read_back="the param groups' `momentum`, or the first of their `betas`",
        description=(
            "Momentum of SGD and RMSprop; the first-moment coefficient (`betas[0]`) of Adam and "
            "its kin."
        ),
    ),
    LiveParameter(
        name="optimizer.weight_decay",
        type="number",
        ge=0.0,
        read_back="the param groups' `weight_decay`",
        description=(
            "Weight decay. Parameter groups keep their ratios: one that has none gets none, "
            "unless no group has any."
        ),
    ),
    LiveParameter(
        name="model.dropout",
        type="number",
        ge=0.0,
        lt=1.0,
        unit="probability",
        read_back="`p` of the model's dropout layers; null where they differ",
        description="Probability of dropping a value, set in all dropout layers of the model.",
    ),
    LiveParameter(
        name="loss.label_smoothing",
        type="number",
        ge=0.0,
        le=1.0,
        read_back="the loss's `label_smoothing`",
        description="Share of each target that is spread evenly over all classes.",
    ),
    LiveParameter(
        name="train.epochs",
        type="integer",
        ge=1,
        le=1_000_000,
        unit="epochs",
        takes_effect="the end of the epoch",
        read_back="the session's epoch limit",
        description=(
            "How many epochs the run trains in all. May not be set below the epoch under way; "
            "`stop` ends a run at once."
        ),
    ),
]

BUILT_IN: dict[str, LiveParameter] = {row.name: row for row in _ROWS}
"""The built-in live parameters by name. A run has those that its tracked objects can hold."""
