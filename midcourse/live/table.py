"""The live parameters of one run, and applying several at once or not at all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.live_parameter import Change, LiveParameter
from midcourse.contract.parameters import check_changes
from midcourse.errors import MidcourseError
from midcourse.live.part import Part, Values


class NotReadBack(MidcourseError):
    """A value was set, and the live object then held another."""


@dataclass(frozen=True)
class Applied:
    """What applying changes did, as read from the live objects."""

    before: Values
    """Of every parameter that was named, and of those that changed with them."""
    after: Values
    details: Values = field(default_factory=dict)


class LiveTable:
    """Parts by name, in the order in which changes to several of them are applied."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._loaded: dict[str, Any] = {}

    def add(self, name: str, part: Part, *, check: bool = True) -> None:
        """Add a part; one that a loaded checkpoint knows gets its values from there.

        Args:
            name: the part's name, by which checkpoints know it.
            part: the part.
            check: whether its present values must be within their bounds.

        Raises:
            InvalidInput: a name is taken, or a present value breaks the bounds.
        """
        taken = {declaration.name for declaration in self.declarations()}
        values = part.read()
        faults = []
        for declaration in part.declarations():
            if declaration.name in taken:
                faults.append(Fault(path=declaration.name, message="is declared twice"))
            elif check:
                try:
                    declaration.check(values[declaration.name])
                except ValueError as error:
                    faults.append(Fault(path=declaration.name, message=str(error)))
        if faults:
            raise InvalidInput(faults)
        assert name not in self._parts
        self._parts[name] = part
        if name in self._loaded:
            part.prepare(self._loaded[name])
            part.load_state(self._loaded[name])

    def part(self, name: str) -> Part | None:
        """The part of that name, if there is one."""
        return self._parts.get(name)

    def declarations(self) -> list[LiveParameter]:
        """What may be changed in this run."""
        return [row for part in self._parts.values() for row in part.declarations()]

    def values(self) -> Values:
        """Every value, read back."""
        return {name: value for part in self._parts.values() for name, value in part.read().items()}

    def check(self, changes: Mapping[str, Any]) -> dict[str, Change]:
        """Check names, types, bounds and meaning.

        Args:
            changes: as a command carries them.

        Raises:
            InvalidInput: with every fault.
        """
        checked, faults = check_changes({row.name: row for row in self.declarations()}, changes)
        for part, own in self._by_part(checked):
            try:
                part.resolve(own)
                part.check_beside(own, checked.keys() - own.keys())
            except InvalidInput as error:
                faults += error.faults
        if faults:
            raise InvalidInput(faults)
        return checked

    def apply(self, changes: Mapping[str, Change]) -> Applied:
        """Apply checked changes: all of them, or, if anything fails, none.

        Raises:
            Exception: whatever a part raised, or `NotReadBack`; everything is as it was.
        """
        before = self.values()
        undo = [part.snapshot() for part in self._parts.values()]
        details: Values = {}
        try:
            for part, own in self._by_part(changes):
                wanted = part.resolve(own)
                details |= part.apply(own)
                found = part.read()
                for name, value in wanted.items():
                    if not same(found[name], value):
                        raise NotReadBack(
                            f"{name} was set to {value} and read back as {found[name]}"
                        )
            after = self.values()
        except BaseException:
            for restore in reversed(undo):
                restore()
            raise
        told = [
            name
            for name in before | after
            if name in changes or before.get(name) != after.get(name)
        ]
        return Applied(
            {name: before.get(name) for name in told},
            {name: after.get(name) for name in told},
            details,
        )

    def try_out(self, changes: Mapping[str, Change]) -> Applied:
        """What `apply` would do; afterwards everything is as it was.

        Raises:
            Exception: as `apply`.
        """
        undo = [part.snapshot() for part in self._parts.values()]
        try:
            return self.apply(changes)
        finally:
            for restore in reversed(undo):
                restore()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the live parameters."""
        return {name: part.state() for name, part in self._parts.items()}

    def prepare(self, state: Mapping[str, Any]) -> None:
        """Make the tracked objects of the kinds that a checkpoint holds, before it is loaded."""
        for name, part in self._parts.items():
            if name in state:
                part.prepare(state[name])

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take values from a checkpoint, now or when the part is added."""
        self._loaded = dict(state)
        for name, part in self._parts.items():
            if name in state:
                part.load_state(state[name])

    def _by_part(self, changes: Mapping[str, Change]) -> list[tuple[Part, dict[str, Change]]]:
        """The changes that concern each part, for those that any do."""
        found = []
        for part in self._parts.values():
            names = {declaration.name for declaration in part.declarations()}
            own = {name: change for name, change in changes.items() if name in names}
            if own:
                found.append((part, own))
        return found


def same(found: Any, wanted: Any) -> bool:
    """Whether a live object took a value: a rate that is a float32 tensor rounds it."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in found)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-6)
    return type(found) is type(wanted) and bool(found == wanted)
