"""Sentences that several pages say, for somebody who has never seen Midcourse."""

from collections.abc import Sequence
from typing import Final

from dashboards.panels import PageRun
from dashboards.records import Run
from dashboards.words import changes, counted, moment
from midcourse.contract.directions import direction
from midcourse.contract.runs import Origin, RunStatus

WHAT_MIDCOURSE_IS: Final = (
    "Midcourse lets people correct the course of a training run while it trains: pause it, change "
    "its parameters, go back, or fork it from a checkpoint. Each change acts at one known step, is "
    "read back from the running program and stays on record."
)
WHAT_A_STEP_IS: Final = (
    "A run is one branch of training. A step is one optimizer step, counted from 0 along the "
    "branch: a fork from the checkpoint of step 500 goes on with step 501."
)


def page_runs(runs: Sequence[Run]) -> list[PageRun]:
    """The runs of a page, by the names that it calls them."""
    return [PageRun(id=run.id, label=run.label) for run in runs]


def where_from(run: Run) -> str:
    """How a run began, in a sentence."""
    origin = run.origin
    if origin is None:
        replay = f", as a replay of {run.file.replay}" if run.file.replay else ""
        return f"{run.label} began from its first step{replay}."
    verb = "took the place of" if origin.revert else "is a fork of"
    parent = run.file.supersedes if origin.revert and run.file.supersedes else origin.run
    other = f" of {origin.run}" if parent != origin.run else ""
    point = "before its first step" if run.branched_at == -1 else f"after step {run.branched_at}"
    return (
        f"{run.label} {verb} {parent}, from the checkpoint {origin.checkpoint}{other} ({point}), "
        f"made by {origin.actor}{_with(origin)}."
    )


def _with(origin: Origin) -> str:
    """What it began with; who took another's place did so to be without what was done there."""
    told = ["another configuration"] if origin.warm_start else []
    told += [changes(origin.changes)] if origin.changes else []
    if told:
        return f", with {' and '.join(told)}"
    return "" if origin.revert else ", with no change"


def status_of(run: Run) -> str:
    """Its status, and of a run that should be under way when it was last heard of.

    A trainer that was killed has said nothing of it: only that it fell silent tells.
    """
    status = run.status.value
    if run.status not in (RunStatus.RUNNING, RunStatus.PAUSED) or run.last_seen is None:
        return status
    return f"{status}, last heard of {moment(run.last_seen)}"


def how_it_stands(run: Run) -> str:
    """Status and step, in a sentence."""
    step = "" if run.last_step is None else f", at step {run.last_step}"
    total = f" of {run.total_steps}" if step and run.total_steps is not None else ""
    reason = f" ({run.reason})" if run.reason else ""
    return f"Status: {status_of(run)}{reason}{step}{total}."


def which_is_better(metrics: Sequence[str]) -> str:
    """Where all metrics of a chart have the same good direction, which it is; else nothing."""
    directions = {direction(metric) for metric in metrics}
    return {1: "Higher is better.", -1: "Lower is better."}.get(sum(directions), "")


def faults_of(runs: Sequence[Run], others: Sequence[str] = ()) -> list[str]:
    """What could not be read, told in one paragraph at the top; [] where all could."""
    told = [*others, *(f"{run.label}: {fault}" for run in runs for fault in run.faults)]
    if not told:
        return []
    shown = "; ".join(told[:5])
    more = f"; and {len(told) - 5} more" if len(told) > 5 else ""
    return [f"{counted(len(told), 'thing')} could not be read, and is missing here: {shown}{more}."]
