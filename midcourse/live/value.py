"""Live values of the user's own program."""

from typing import Any

from midcourse.contract.base import Scalar


class LiveValue:
    """A value that commands may change; the program reads `.value` whenever it needs it."""

    def __init__(self, value: Scalar) -> None:
        self.value: Any = value
        """The present value; constant within a step."""
