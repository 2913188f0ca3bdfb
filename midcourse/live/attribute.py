"""A live parameter that is an attribute of some object, such as the session's epoch limit."""

from collections.abc import Callable
from typing import Any

from midcourse.contract.live_parameter import LiveParameter
from midcourse.live.part import Changes, Part, Values, refuse


class Attribute(Part):
    """Reads and sets `owner.<attribute>`, and keeps it in checkpoints."""

    def __init__(
        self,
        declaration: LiveParameter,
        owner: Any,
        attribute: str,
        check: Callable[[Any], None] | None = None,
        *,
        in_state: bool = True,
    ) -> None:
        """Tie a declaration to an attribute.

        Args:
            declaration: of the one parameter.
            owner: whose attribute holds the value.
            attribute: its name.
            check: raises ValueError, in one sentence, for what type and bounds let through.
            in_state: whether it determines the steps to come, and with them the state's hash.
        """
        self._declaration = declaration
        self._owner = owner
        self._attribute = attribute
        self._check = check
        self._in_state = in_state

    def declarations(self) -> list[LiveParameter]:
        """The one."""
        return [self._declaration]

    def read(self) -> Values:
        """The attribute."""
        return {self._declaration.name: getattr(self._owner, self._attribute)}

    def resolve(self, changes: Changes) -> Values:
        """The value itself, if the owner has nothing against it."""
        name = self._declaration.name
        value = changes[name].value
        if self._check is not None:
            try:
                self._check(value)
            except ValueError as error:
                raise refuse(name, str(error)) from None
        return {name: value}

    def apply(self, changes: Changes) -> Values:
        """Set it."""
        setattr(self._owner, self._attribute, changes[self._declaration.name].value)
        return {}

    def snapshot(self) -> Callable[[], None]:
        """Undo by setting the old value."""
        old = getattr(self._owner, self._attribute)
        return lambda: setattr(self._owner, self._attribute, old)

    def state(self) -> Any:
        """The value, if it belongs to the state."""
        return getattr(self._owner, self._attribute) if self._in_state else None

    def load_state(self, state: Any) -> None:
        """Take the value."""
        if self._in_state:
            setattr(self._owner, self._attribute, state)
