"""The change itself: what a fork began with that its parent had not, and what came later."""

from pydantic import JsonValue

from dashboards.comparing import config_of, differing
from dashboards.panels import ConfigDifference, Panel, Rows, Section, TableOf
from dashboards.records import Run
from dashboards.words import cell
from midcourse.contract.commands import FORK_SEQ, Reinitialise, SetParameters
from midcourse.contract.interventions import TABLE
from midcourse.contract.receipts import CommandState

_CHANGING = {action.model_fields["kind"].default for action in (SetParameters, Reinitialise)}


def the_change(child: Run, parent: Run, after: int) -> Section:
    """What was asked for, what was done to both runs, and what they differ in.

    Args:
        child: a run with an origin.
        parent: the run that the origin names.
        after: the last step that they share.
    """
    acted = [
        run.id
        for run in (parent, child)
        if any(each.step is not None and each.step >= after for each in run.interventions)
    ]
    panels: list[Panel] = [_changes_at_the_fork(child, parent, after)]
    if acted:
        panels.append(
            TableOf(
                title="What was done to the two runs",
                explanation="Later changes to either run are part of the difference, too.",
                media=TABLE,
                runs=acted,
            )
        )
    panels.append(
        ConfigDifference(
            title="What they differ in now",
            explanation="Configurations, and live parameters as they were last.",
            runs=[parent.id, child.id],
        )
    )
    return Section(
        title="The change",
        explanation="What was asked for when the fork was made, and what came later.",
        panels=panels,
    )


def edited_settings(child: Run, parent: Run) -> list[str]:
    """What a fork's own configuration says otherwise than its parent's; [] where it is the same."""
    assert child.origin is not None
    if not child.origin.warm_start:
        return []
    return differing([config_of(parent), config_of(child)])


def _changes_at_the_fork(child: Run, parent: Run, after: int) -> Rows:
    live = _live_changes(child)
    edited = _edits(child, parent, {row[0] for row in live})
    told = []
    if live:
        told.append("Values before and after, as they were read back from the running program.")
    if edited:
        told.append("The fork was made with another configuration; its edits are listed as such.")
    if _is_without(child, parent, after):
        point = f"step {after}" if after >= 0 else "the beginning"
        told.append(f"The child goes on without what was done to the parent after {point}.")
    return Rows(
        title="Changes at the fork",
        explanation=" ".join(told)
        or "There was none: a fork without a change goes on exactly as its parent does.",
        columns=["parameter", "before", "after", "state"],
        rows=[*live, *edited],
    )


def _live_changes(child: Run) -> list[list[JsonValue]]:
    assert child.origin is not None
    rows: list[list[JsonValue]] = [
        [each.parameter, each.before, each.after, each.state]
        for each in child.interventions
        if each.seq == FORK_SEQ and each.parameter is not None
    ]
    told = {row[0] for row in rows}
    rows += [
        [name, None, cell(value), "asked for"]
        for name, value in child.origin.changes.items()
        if name not in told
    ]
    return rows


def _edits(child: Run, parent: Run, told: set[JsonValue]) -> list[list[JsonValue]]:
    before, now = config_of(parent), config_of(child)
    return [
        [name, cell(before.get(name)), cell(now.get(name)), "configured"]
        for name in edited_settings(child, parent)
        if name not in told
    ]


def _is_without(child: Run, parent: Run, after: int) -> bool:
    """Whether the parent had something since that its child does not have."""
    assert child.origin is not None
    return child.origin.revert or any(
        each.state == CommandState.APPLIED
        and each.command in _CHANGING
        and each.step is not None
        and each.step >= after
        for each in parent.interventions
    )
