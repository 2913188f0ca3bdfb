"""Changes of live parameters, checked against what is declared: names, types and bounds."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.errors import Fault
from midcourse.contract.live_parameter import Change, LiveParameter


def check_changes(
    declared: Mapping[str, LiveParameter], changes: Mapping[str, Any]
) -> tuple[dict[str, Change], list[Fault]]:
    """Check names, types and bounds of all changes at once.

    Returns:
        The checked changes, and one fault for each that cannot be accepted.
    """
    checked: dict[str, Change] = {}
    faults: list[Fault] = []
    for name, value in changes.items():
        if name not in declared:
            faults.append(unknown_parameter(name, declared))
            continue
        try:
            checked[name] = declared[name].parse(value)
        except ValueError as error:
            faults.append(
                Fault(path=name, message=str(error), allowed=declared[name].json_schema())
            )
    return checked, faults


def unknown_parameter(name: str, allowed: Iterable[str]) -> Fault:
    """The fault for a name that this run does not have, with the near miss where there is one."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    here = " of this run" if name in BUILT_IN else ""
    return Fault(
        path=name,
        message=f"is not a live parameter{here}.{hint} Allowed: {', '.join(names) or 'none'}",
        allowed=list(names),
    )
