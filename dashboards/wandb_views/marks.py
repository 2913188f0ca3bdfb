"""How we know again what we made: ids that say so, and are the same each time."""

import hashlib
from typing import Final

PREFIX: Final = "midcourse"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 9
_NAME_LENGTH = 11


def own_id(*parts: str) -> str:
    """The id of a section or panel of ours: the same each time for what these words name."""
    return PREFIX + _drawn_from(parts, _LENGTH)


def is_own(element_id: object) -> bool:
    """Whether an id is one of ours; those that W&B gives are random and shorter."""
    return (
        isinstance(element_id, str)
        and element_id.startswith(PREFIX)
        and len(element_id) == len(PREFIX) + _LENGTH
    )


def view_name(*parts: str) -> str:
    """The name of a view of ours, of W&B's own form, by which it is found whatever its title."""
    return _drawn_from(parts, _NAME_LENGTH)


def _drawn_from(parts: tuple[str, ...], length: int) -> str:
    number = int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest())
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits
