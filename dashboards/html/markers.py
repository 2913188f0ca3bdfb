"""Interventions as marks beside the curves, in words."""

from dataclasses import dataclass
from itertools import groupby

from dashboards.records import Intervention, Run
from dashboards.words import plain
from midcourse.contract.receipts import CommandState

_NOT_MARKED = frozenset({"checkpoint", "alert", "cancel"})
"""They change nothing of the training, and there may be very many."""


@dataclass(frozen=True)
class Marker:
    """A command that acted."""

    run: str
    step: int
    seq: int
    """Its number in the run; 0 is what a fork began with."""
    text: str


def markers_of(run: Run) -> list[Marker]:
    """The commands that acted in a run, but those that changed nothing, in their order."""
    found = []
    for _, rows in groupby(run.interventions, key=lambda each: each.seq):
        told = list(rows)
        first = told[0]
        applied = first.state == CommandState.APPLIED and first.step is not None
        if applied and first.command not in _NOT_MARKED:
            assert first.step is not None
            found.append(Marker(run.id, max(first.step, 0), first.seq, _in_words(told)))
    return found


def _in_words(rows: list[Intervention]) -> str:
    first = rows[0]
    what = ", ".join(_change(row) for row in rows if row.parameter or row.after is not None)
    reason = f" — {first.reason}" if first.reason else ""
    return f"step {first.step}: {first.actor}, {first.command} {what}".rstrip() + reason


def _change(row: Intervention) -> str:
    if row.parameter is None:
        return plain(row.after)
    before = "" if row.before is None else f" {plain(row.before)}"
    return f"{row.parameter}{before} → {plain(row.after)}"
