"""Cursors: where the next page of a list begins, as text that means nothing to clients.

One names the values of the last row shown, not a number of rows to skip: so rows that come or go
meanwhile neither repeat others nor hide them.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NoReturn

from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput

Value = int | float | Decimal | str | datetime
"""What rows are sorted by."""

_CHECK_BYTES: Final = 6
_LIST_CHARACTERS: Final = 12
_MOST_DIGITS: Final = 5000
"""More than those of any number in JSON that Python reads."""


def write_cursor(of: str, values: Sequence[Value]) -> str:
    """A cursor behind a row.

    Args:
        of: what the list is of, and how it is sorted.
        values: of the row, by which it is sorted.
    """
    said = [_say(value) for value in values]
    payload = json.dumps([_fingerprint(of), said], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(payload) + payload).decode().rstrip("=")


def read_cursor(text: str, of: str, kinds: Sequence[type]) -> list[Value]:
    """The values that `write_cursor` was given.

    Args:
        text: the cursor.
        of: what the list is of, and how it is sorted.
        kinds: of the values, each one of `Value`'s types; Decimal stands for any number.

    Raises:
        InvalidInput: it is no cursor, or one of another list.
    """
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        payload = raw[_CHECK_BYTES:]
        if raw[:_CHECK_BYTES] != _check(payload):
            raise ValueError
        fingerprint, said = strict_json_loads(payload)
        if fingerprint != _fingerprint(of):
            _refuse("belongs to another filter or sort; send those of the page that it came with")
        return [_read(kind, value) for kind, value in zip(kinds, said, strict=True)]
    except (ValueError, TypeError, LookupError, ArithmeticError):
        _refuse("is not one that this API made; leave it out to begin at the first page")


def _say(value: Value) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return {"n": str(value)}
    if isinstance(value, float):
        return {"n": repr(value)}
    return value


def _read(kind: type, said: Any) -> Value:
    if kind is datetime and isinstance(said, str):
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            raise ValueError
        return moment
    if kind is Decimal and isinstance(said, dict):
        number = Decimal(str(said["n"]))
        if number.is_nan() or abs(number.adjusted()) > _MOST_DIGITS:
            raise ValueError
        return number
    if kind is str and isinstance(said, str) and "\0" not in said:
        said.encode()  # a lone surrogate ends here
        return said
    if kind in (int, Decimal) and type(said) is int and abs(said) < 2**63:
        return said
    raise ValueError


def _refuse(message: str) -> NoReturn:
    raise InvalidInput([Fault(path="cursor", message=message)])


def _fingerprint(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:_LIST_CHARACTERS]


def _check(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:_CHECK_BYTES]
