"""The live parameters of one run, and applying several at once or not at all."""

import math
from collections.abc import Mapping
from typing import Any

from midcourse.contract.base import Scalar
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.parameters import LiveParameter, check_changes
from midcourse.errors import MidcourseError
from midcourse.live.binding import Binding


class NotReadBack(MidcourseError):
    """A value was set, and the live object then held another."""


class LiveTable:
    """Bindings by name. The declarations are what the control API is told."""

    def __init__(self) -> None:
        self._bindings: dict[str, Binding] = {}
        self._loaded: dict[str, Any] = {}

    def add(self, binding: Binding, *, check: bool = True) -> None:
        """Declare a live parameter; one that a loaded checkpoint knows gets its value from there.

        Args:
            binding: the parameter, tied to what holds it.
            check: whether its present value must be within its bounds.

        Raises:
            InvalidInput: the name is taken, or the present value breaks the bounds.
        """
        name = binding.declaration.name
        if name in self._bindings:
            raise InvalidInput([Fault(path=name, message="is declared twice")])
        if check:
            try:
                binding.declaration.check(binding.read())
            except ValueError as error:
                raise InvalidInput([Fault(path=name, message=str(error))]) from None
        self._bindings[name] = binding
        if name in self._loaded:
            binding.load_state(self._loaded[name])

    def declarations(self) -> list[LiveParameter]:
        """What may be changed in this run."""
        return [binding.declaration for binding in self._bindings.values()]

    def values(self) -> dict[str, Scalar | None]:
        """Every value, read back."""
        return {name: binding.read() for name, binding in self._bindings.items()}

    def check(self, changes: Mapping[str, Any]) -> dict[str, Scalar]:
        """Check names, types, bounds and meaning.

        Raises:
            InvalidInput: with every fault.
        """
        declared = {name: binding.declaration for name, binding in self._bindings.items()}
        checked, faults = check_changes(declared, changes)
        for name, value in checked.items():
            try:
                self._bindings[name].check(value)
            except ValueError as error:
                faults.append(Fault(path=name, message=str(error)))
        if faults:
            raise InvalidInput(faults)
        return checked

    def apply(
        self, changes: Mapping[str, Scalar]
    ) -> tuple[dict[str, Scalar | None], dict[str, Scalar | None]]:
        """Apply checked changes: all of them, or, if anything fails, none.

        Returns:
            The values before and after, both read from the live objects.

        Raises:
            Exception: whatever a binding raised, or `NotReadBack`; everything is as it was.
        """
        chosen = {name: self._bindings[name] for name in changes}
        before = {name: binding.read() for name, binding in chosen.items()}
        undo = [binding.snapshot() for binding in chosen.values()]
        try:
            for name, binding in chosen.items():
                binding.apply(changes[name])
            after = {name: binding.read() for name, binding in chosen.items()}
            for name, value in changes.items():
                if not _same(after[name], value):
                    raise NotReadBack(f"{name} was set to {value} and read back as {after[name]}")
        except BaseException:
            for restore in reversed(undo):
                restore()
            raise
        return before, after

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the live parameters."""
        return {name: binding.state() for name, binding in self._bindings.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take values from a checkpoint, now or when the parameter is declared."""
        self._loaded = dict(state)
        for name, binding in self._bindings.items():
            if name in state:
                binding.load_state(state[name])


def _same(found: Any, wanted: Scalar) -> bool:
    """Whether a live object took a value: a rate that is a float32 tensor rounds it."""
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-6)
    return bool(found == wanted)
