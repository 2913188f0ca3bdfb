"""A live parameter that is an attribute of some object, such as a loss's label smoothing."""

from collections.abc import Callable
from typing import Any

from midcourse.contract.base import Scalar
from midcourse.contract.parameters import LiveParameter


class Attribute:
    """Reads and sets `owner.<attribute>`, and keeps it in checkpoints."""

    def __init__(
        self,
        declaration: LiveParameter,
        owner: Any,
        attribute: str,
        check: Callable[[Any], None] | None = None,
    ) -> None:
        self.declaration = declaration
        self._owner = owner
        self._attribute = attribute
        self._check = check

    def read(self) -> Scalar:
        """The attribute."""
        value: Scalar = getattr(self._owner, self._attribute)
        return value

    def check(self, value: Scalar) -> None:
        """What the owner has to say of it, if anything."""
        if self._check is not None:
            self._check(value)

    def apply(self, value: Scalar) -> None:
        """Set it."""
        setattr(self._owner, self._attribute, value)

    def snapshot(self) -> Callable[[], None]:
        """Undo by setting the old value."""
        old = self.read()
        return lambda: self.apply(old)

    def state(self) -> Scalar:
        """The value."""
        return self.read()

    def load_state(self, state: Scalar) -> None:
        """Take the value."""
        self.apply(state)
