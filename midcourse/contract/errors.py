"""How faults are told to people: one shape in the API, the command line and receipts."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from midcourse.contract.base import Record


class MidcourseError(Exception):
    """The base of every error that Midcourse raises on purpose; its text is meant for people."""


class Fault(Record):
    """One thing that is wrong with a request or a configuration."""

    path: str
    """Where it is, dotted from the root: `optimizer.lr`; empty for the whole."""
    message: str
    """What is wrong and what to do, in one sentence."""
    allowed: JsonValue = None
    """What would be accepted there: names, or bounds; null where there is no short answer."""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}"


class Problem(Record):
    """An error answer of the control API: RFC 9457, with `faults` as extension member."""

    type: str = "about:blank"
    """A stable URI reference such as `/problems/unknown-run`: programs may compare it."""
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    faults: list[Fault] = Field(default_factory=list)


class InvalidInput(MidcourseError):
    """What was given is not acceptable; `faults` names every reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


def faults_of(error: ValidationError, prefix: str = "") -> list[Fault]:
    """Pydantic's errors in our words: one fault for each, by its dotted path."""
    return [
        Fault(
            path=".".join(part for part in (prefix, *map(str, _location(item))) if part),
            message=_MESSAGES.get(item["type"], lambda i: i["msg"])(item),
            allowed=_allowed(item),
        )
        for item in error.errors(include_url=False)
    ]


def _location(item: Any) -> tuple[Any, ...]:
    return tuple(item["loc"])


def _allowed(item: Any) -> JsonValue:
    context = item.get("ctx", {})
    bounds = {key: context[key] for key in ("ge", "gt", "le", "lt") if key in context}
    if bounds:
        return bounds
    expected = context.get("expected") or context.get("expected_tags")
    return str(expected) if expected else None


_MESSAGES: dict[str, Any] = {
    "extra_forbidden": lambda _: "is not a known key",
    "missing": lambda _: "is missing",
    "finite_number": lambda _: "must be a finite number, not NaN or infinite",
    "float_type": lambda item: f"must be a number, not {_said(item)}",
    "int_type": lambda item: f"must be a whole number, not {_said(item)}",
    "bool_type": lambda item: f"must be true or false, not {_said(item)}",
    "string_type": lambda item: f"must be a string, not {_said(item)}",
    "dict_type": lambda item: f"must be an object, not {_said(item)}",
    "model_type": lambda item: f"must be an object, not {_said(item)}",
    "list_type": lambda item: f"must be a list, not {_said(item)}",
    "literal_error": lambda item: f"must be {item['ctx']['expected']}, not {_said(item)}",
    "string_pattern_mismatch": lambda item: (
        f"must match {item['ctx']['pattern']}, not {_said(item)}"
    ),
    "greater_than": lambda item: f"must be above {item['ctx']['gt']:.15g}, not {_said(item)}",
    "greater_than_equal": lambda item: (
        f"must be at least {item['ctx']['ge']:.15g}, not {_said(item)}"
    ),
    "less_than": lambda item: f"must be below {item['ctx']['lt']:.15g}, not {_said(item)}",
    "less_than_equal": lambda item: f"must be at most {item['ctx']['le']:.15g}, not {_said(item)}",
    "value_error": lambda item: item["msg"].removeprefix("Value error, "),
}


def _said(item: Any) -> str:
    value = item.get("input")
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    text = "null" if value is None else text
    return text if len(text) <= 60 else text[:57] + "..."


def first_line(error: BaseException) -> str:
    """What an error says, in one line; SDKs say whole pages. Its kind where it says nothing."""
    return str(error).partition("\n")[0] or type(error).__name__
