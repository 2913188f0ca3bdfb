"""Live values of the user's own program."""

from typing import Any

from pydantic import ValidationError

from midcourse.contract.base import Scalar
from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.contract.live_parameter import LiveParameter

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


class LiveValue:
    """A value that commands may change; the program reads `.value` whenever it needs it."""

    def __init__(self, value: Scalar | None) -> None:
        self.value: Any = value
        """The present value; constant within a step."""


def declare(
    name: str, default: Scalar | None, *, bounds: dict[str, float | None], **words: Any
) -> LiveParameter:
    """The declaration of a program's own live value, whose type is its default's.

    Raises:
        InvalidInput: with what is wrong with the name, the default's type or the bounds.
    """
    if type(default) not in _TYPES:
        said = f"must be true or false, a number or a string, not a {type(default).__name__}"
        raise InvalidInput([Fault(path=name, message=said)])
    limits = {word: None if bound is None else float(bound) for word, bound in bounds.items()}
    try:
        return LiveParameter.model_validate(
            {
                "name": name,
                "type": _TYPES[type(default)],
                "read_back": "the program's own live value",
                **limits,
                **words,
            }
        )
    except ValidationError as error:
        raise InvalidInput(faults_of(error, prefix=f"live({name!r})")) from None
