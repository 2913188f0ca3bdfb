"""What people type as a value: JSON where it is JSON, else a string."""

import math
import re

from pydantic import JsonValue

from midcourse.contract.base import strict_json_loads

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse_value(text: str) -> JsonValue:
    """`1e-4` is a number, `true` a boolean, `[1, 2]` a list, `"1"` and `adamw` are strings."""
    try:
        value: JsonValue = strict_json_loads(text)
    except ValueError:
        # `.5` and `+1` are numbers to people, if not to JSON.
        found = float(text) if _NUMBER.fullmatch(text) else math.inf
        return found if math.isfinite(found) else text
    return value
