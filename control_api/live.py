"""Live parameters as the database knows them: what a run declared, and checks against it."""

from collections.abc import Mapping
from typing import Any

from control_api.problems import RunNotReady
from control_api.tables import RunRow
from midcourse.contract.base import Scalar
from midcourse.contract.errors import InvalidInput
from midcourse.contract.parameters import (
    BUILT_IN,
    LiveParameter,
    check_changes,
    unknown_parameter,
)


def declared_parameters(run: RunRow) -> dict[str, LiveParameter] | None:
    """What the run's trainer declared, by name; None before it has."""
    if run.declared is None:
        return None
    rows = [LiveParameter.model_validate(row) for row in run.declared]
    return {row.name: row for row in rows}


def check_live(run: RunRow, changes: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """New values as the run's parameters hold them.

    Raises:
        InvalidInput: with a fault for each name or value that is not acceptable.
        RunNotReady: a name is not built in, and the run has not told its own yet.
    """
    declared = declared_parameters(run)
    if declared is None:
        faults = [unknown_parameter(name, BUILT_IN) for name in changes if name not in BUILT_IN]
        if faults:
            raise RunNotReady(
                f"Run {run.id} is {run.status} and has not told its own parameters yet; until "
                "then only built-in ones can be set. Try again when it is running.",
                faults=faults,
            )
        declared = BUILT_IN
    checked, faults = check_changes(declared, changes)
    if faults:
        raise InvalidInput(
            [fault.model_copy(update={"path": prefix + fault.path}) for fault in faults]
        )
    return checked


def changes_schema(run: RunRow) -> dict[str, Any]:
    """JSON Schema of an object of changes."""
    declared = declared_parameters(run)
    rows = BUILT_IN if declared is None else declared
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: row.json_schema() for name, row in rows.items()},
    }
