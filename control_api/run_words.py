"""Fields and conditions as people write them in `where` and `sort`: text into values."""

import difflib
import json
import math
import re
from dataclasses import dataclass
from typing import Final

from midcourse.contract.errors import Fault, InvalidInput

METRICS, CONFIG, VALUES = "metrics", "config", "values"
GROUPS: Final = (METRICS, CONFIG, VALUES)
"""Fields with a dot: a metric's name, a dotted path in the configuration, a live parameter."""

TEXT_FIELDS: Final = ("id", "name", "status", "experiment", "sweep", "created_by")
NUMBER_FIELDS: Final = ("step", "epoch", "total_steps", "priority", "attempt")
TIME_FIELDS: Final = ("created_at", "started_at", "ended_at", "heartbeat_at")
FIELDS: Final = (*TIME_FIELDS, *NUMBER_FIELDS, *TEXT_FIELDS)

OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=")

MAX_CONDITIONS = 20
MAX_SORT_FIELDS = 5
MAX_DEPTH = 20
_MAX_WHOLE = 2**63 - 1

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_CONDITION = re.compile(rf"((?:{_QUOTED}|[^\"!=<>])+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Value = bool | int | float | str | None
"""What a condition compares with; None: no value at all."""


@dataclass(frozen=True)
class Field:
    """One thing that is known of each run."""

    group: str | None
    """One of `GROUPS`; None: it is one of `FIELDS`."""
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.group, *self.path) if self.group else self.path)


@dataclass(frozen=True)
class Condition:
    """What a run must meet."""

    field: Field
    operator: str
    value: Value


@dataclass(frozen=True)
class Order:
    """One field that runs are sorted by."""

    field: Field
    descending: bool


def parse_where(text: str) -> list[Condition]:
    """Conditions with commas between: `metrics.test/accuracy>=0.9,config.optimizer.name=sgd`.

    Raises:
        InvalidInput: with what is wrong in them, and what is allowed.
    """
    parts = _split(text, "where")
    if len(parts) > MAX_CONDITIONS:
        raise _fault("where", f"has {len(parts)} conditions; {MAX_CONDITIONS} are allowed")
    return [_parse_condition(part) for part in parts]


def parse_sort(text: str) -> list[Order]:
    """Fields with commas between, the most important first; `-` before one for descending.

    Raises:
        InvalidInput: with what is wrong in them, and what is allowed.
    """
    parts = _split(text, "sort")
    if len(parts) > MAX_SORT_FIELDS:
        raise _fault("sort", f"names {len(parts)} fields; {MAX_SORT_FIELDS} are allowed")
    return [
        Order(_parse_field(part.removeprefix("-").strip(), "sort"), part.startswith("-"))
        for part in parts
    ]


def _split(text: str, where: str) -> list[str]:
    """The parts between commas that stand in no quotation marks."""
    if re.fullmatch(rf'(?:{_QUOTED}|[^"])*', text, re.DOTALL) is None:
        raise _fault(where, 'has a quotation mark (") without its other one')
    parts = [part.strip() for part in re.findall(rf'(?:{_QUOTED}|[^",])+', text, re.DOTALL)]
    if not parts or not all(parts) or len(parts) != len(re.sub(_QUOTED, "", text).split(",")):
        raise _fault(where, "must be one or more with commas between; one of them is empty")
    return parts


def _parse_condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        message = (
            f"{text!r} is no condition; write a field, an operator and a value, such as "
            "metrics.test/accuracy>=0.9. Operators: " + ", ".join(OPERATORS)
        )
        raise _fault("where", message, OPERATORS)
    field = _parse_field(found[1].strip(), "where")
    operator, said = found[2], found[3].strip()
    value = _parse_value(field, said)
    ordered = not (value is None or isinstance(value, bool) or value != value)
    if operator not in ("=", "!=") and not ordered:
        raise _fault("where", f"{text!r}: {said} is only compared by = and !=", ["=", "!="])
    return Condition(field, operator, value)


def _parse_field(text: str, where: str) -> Field:
    group, dot, rest = text.partition(".")
    if dot and group in GROUPS:
        path = _parse_path(rest, where, nested=group == CONFIG)
        return Field(group, path)
    if text in FIELDS:
        return Field(None, (text,))
    allowed = [*FIELDS, *(f"{group}.<name>" for group in GROUPS)]
    near = difflib.get_close_matches(text, FIELDS, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise _fault(
        where, f"no field is called {text!r}.{hint} There are: {', '.join(allowed)}", allowed
    )


def _parse_path(text: str, where: str, *, nested: bool) -> tuple[str, ...]:
    """A name, or the names of a dotted path; what has dots of its own is put in quotation marks."""
    part = rf'{_QUOTED}|[^".]+' if nested else rf'{_QUOTED}|[^"]+'
    if re.fullmatch(rf"(?:{part})(?:\.(?:{part}))*", text, re.DOTALL) is None:
        example = 'config.a."b.c"' if nested else 'metrics."a=b, c"'
        message = f"{text!r} is no name; put one with special characters in quotes: {example}"
        raise _fault(where, message)
    names = re.findall(part, text, re.DOTALL) if nested else [text]
    if len(names) > MAX_DEPTH:
        raise _fault(where, f"{text!r} is {len(names)} names deep; {MAX_DEPTH} are allowed")
    return tuple(_unquote(name, where) if name.startswith('"') else name for name in names)


def _parse_value(field: Field, text: str) -> Value:
    """The value of a condition, as its field has them."""
    if '"' in text:
        if re.fullmatch(_QUOTED, text, re.DOTALL) is None:
            raise _fault("where", f'{text!r}: put the whole value in quotation marks, \\" within')
        return _unquote(text, "where")
    if text == "null":
        return None
    name = field.path[0] if field.group is None else None
    if name in TEXT_FIELDS or (name in TIME_FIELDS and text):
        return text
    number = _parse_number(text)
    if name is not None and number is None:
        raise _fault("where", f"{name} is compared with a number or null, not {text!r}")
    if number is not None:
        return number
    if field.group == METRICS:
        if text not in _NON_FINITE:
            allowed = ["a number", *_NON_FINITE, "null"]
            message = f"a metric is compared with {', '.join(allowed)}; not {text!r}"
            raise _fault("where", message, allowed)
        return _NON_FINITE[text]
    return {"true": True, "false": False}.get(text, text)


def _parse_number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    digits = text.lstrip("+-")
    if digits.isdecimal() and len(digits) <= len(str(_MAX_WHOLE)) and int(digits) <= _MAX_WHOLE:
        return int(text)
    if not math.isfinite(number := float(text)):
        raise _fault("where", f"{text[:40]} is too large for a 64-bit number")
    return number


def _unquote(text: str, where: str) -> str:
    try:
        value = str(json.loads(text, strict=False))
        value.encode()  # a lone surrogate ends here
    except ValueError:
        raise _fault(where, f"{text} is not quoted as JSON has it") from None
    if "\0" in value:
        raise _fault(where, f"{text} has a NUL, which no name and no text can hold")
    return value


def _fault(path: str, message: str, allowed: object = None) -> InvalidInput:
    listed = list(allowed) if isinstance(allowed, list | tuple) else None
    return InvalidInput([Fault(path=path, message=message, allowed=listed)])
