"""Live parameters as the database knows them: what a run declared, and checks against it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from control_api.dialects import among
from control_api.problems import RunNotReady
from control_api.tables import RunRow
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.commands import Changes
from midcourse.contract.errors import InvalidInput
from midcourse.contract.live_parameter import LiveParameter
from midcourse.contract.parameters import check_changes, unknown_parameter
from midcourse.contract.runs import RunStatus


def declared_parameters(run: RunRow) -> dict[str, LiveParameter] | None:
    """What the run's trainer declared, by name; None before it has."""
    if run.declared is None:
        return None
    rows = [LiveParameter.model_validate(row) for row in run.declared]
    return {row.name: row for row in rows}


def shown_values(run: RunRow) -> dict[str, Any]:
    """The run's values as clients see them: without those that have no meaning now.

    An optimizer without betas, or a schedule without a `gamma`, reads as null. Null is a value of
    its own where the parameter may be set to it.
    """
    return _without(run.live_values, frozenset(_never_null(run.declared or [])))


def shown_values_of(session: Session, runs: Sequence[RunRow]) -> dict[str, dict[str, Any]]:
    """The same for many runs by their ids, whose declarations need not have been loaded.

    Those are most of a run's row, and runs of one program have the same: each is read once.
    """
    hiding = [run.id for run in runs if None in run.live_values.values()]
    texts = select(RunRow.id, cast(RunRow.declared, Text)).where(among(session, RunRow.id, hiding))
    declared = session.execute(texts) if hiding else ()
    never_null = {run_id: _never_null_in(text) for run_id, text in declared}
    return {run.id: _without(run.live_values, never_null.get(run.id, frozenset())) for run in runs}


def _without(values: dict[str, Any], never_null: frozenset[str]) -> dict[str, Any]:
    return {
        name: value for name, value in values.items() if value is not None or name not in never_null
    }


@lru_cache(maxsize=64)
def _never_null_in(declared: str | None) -> frozenset[str]:
    return frozenset(_never_null(json.loads(declared) if declared else []))


def _never_null(declared: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The parameters that cannot be set to null."""
    # As they are stored: a list of runs has no use for hundreds of checked declarations.
    return (row["name"] for row in declared if not row.get("nullable"))


def check_live(
    run: RunRow, changes: Mapping[str, Any], prefix: str = "", *, edited: bool = False
) -> Changes:
    """Changes in the form that commands carry, with values as the run's parameters hold them.

    Args:
        run: whose parameters they are.
        changes: as they were asked for.
        prefix: of the faults' paths.
        edited: they are for a run whose configuration is edited, so that it may also have
            built-in parameters that this one does not have. Its trainer knows.

    Raises:
        InvalidInput: with a fault for each name or value that is not acceptable.
        RunNotReady: a name is not built in, and the run has not told its own yet.
    """
    declared = declared_parameters(run)
    if declared is None and run.status is RunStatus.IMPORTED:
        return check_unseen(changes, prefix)
    if declared is None:
        faults = [unknown_parameter(name, BUILT_IN) for name in changes if name not in BUILT_IN]
        if faults:
            raise RunNotReady(
                f"Run {run.id} is {run.status} and has not told its own parameters yet; until "
                "then only built-in ones can be set. Try again when it is running.",
                faults=faults,
            )
        declared = BUILT_IN
    elif edited:
        declared = BUILT_IN | declared
    return _checked(declared, changes, prefix)


def check_unseen(changes: Mapping[str, Any], prefix: str = "") -> Changes:
    """Changes for a fork of a run that was trained elsewhere: nobody here knows its parameters.

    Built-in ones are checked as far as that goes; its trainer refuses what it does not know.

    Raises:
        InvalidInput: with a fault for each value that is not acceptable.
    """
    built_in = {name: said for name, said in changes.items() if name in BUILT_IN}
    own = {name: said for name, said in changes.items() if name not in BUILT_IN}
    return own | _checked(BUILT_IN, built_in, prefix)


def _checked(
    declared: Mapping[str, LiveParameter], changes: Mapping[str, Any], prefix: str
) -> Changes:
    checked, faults = check_changes(declared, changes)
    if faults:
        raise InvalidInput(
            [fault.model_copy(update={"path": prefix + fault.path}) for fault in faults]
        )
    return {name: change.said for name, change in checked.items()}


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
