"""What is known of how runs were run."""

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from dashboards.pages.prose import status_of
from dashboards.panels import Rows
from dashboards.records import Run
from dashboards.words import cell, counted, duration, moment, number


def system_facts(runs: Sequence[Run]) -> Rows:
    """A line for each fact of one run, or one for each of several."""
    facts = [_facts(run) for run in runs]
    if len(runs) == 1:
        summary = {f"summary: {name}": cell(value) for name, value in runs[0].summary.items()}
        told = facts[0] | _labels(runs[0]) | summary
        rows: list[list[JsonValue]] = [[name, value] for name, value in told.items()]
        return Rows(title="Facts", columns=["fact", "value"], rows=rows)
    return Rows(
        title="Facts",
        columns=["run", *facts[0]],
        rows=[[run.label, *each.values()] for run, each in zip(runs, facts, strict=True)],
    )


def notices(runs: Sequence[Run]) -> list[Rows]:
    """What the programs noted for people and that changed nothing; [] where they noted nothing."""
    rows: list[list[JsonValue]] = [[run.label, text] for run in runs for text in run.notices]
    if not rows:
        return []
    return [Rows(title="Notices", columns=["run", "what was noted"], rows=rows)]


def steps_per_second(run: Run) -> float | None:
    """The median over the steps at which its most frequent metric was logged; None: too few.

    Of the times that stand in the log, so that pauses and restarts hardly count.
    """
    timed = [series for series in run.series.values() if len(series.times) > 1]
    if not timed:
        return None
    series = max(timed, key=len)
    seconds = np.diff(series.times)
    steps = np.diff(series.steps)
    return float(np.median(steps[seconds > 0] / seconds[seconds > 0])) if any(seconds > 0) else None


def _facts(run: Run) -> dict[str, JsonValue]:
    speed = steps_per_second(run)
    took = (run.last_seen - run.begun) if run.last_seen and run.begun else None
    return {
        "status": f"{status_of(run)}: {run.reason}" if run.reason else status_of(run),
        "steps": _steps(run),
        "began": moment(run.begun),
        "from first to last word": duration(took) if took is not None else "—",
        "steps per second (median)": number(speed),
        "starts of the program": max(len(run.attempts), 1),
        "checkpoints kept": _checkpoints(run),
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()) or "—",
        "W&B": _tracking(run),
    }


def _labels(run: Run) -> dict[str, JsonValue]:
    """What people said of it; nothing where they said nothing."""
    said = {"tags": ", ".join(run.labels.tags), "notes": run.labels.notes}
    return {name: text for name, text in said.items() if text}


def _steps(run: Run) -> str:
    if run.last_step is None:
        return "none yet"
    done = f"up to {run.last_step}"
    return f"{done} of {run.total_steps}" if run.total_steps is not None else done


def _checkpoints(run: Run) -> str:
    there = counted(len(run.checkpoints), "checkpoint")
    best = next((each.name for each in reversed(run.checkpoints) if each.best), None)
    return there if best is None else f"{there}, the best is {best}"


def _tracking(run: Run) -> str:
    if run.tracking is None:
        return "not tracked"
    return run.tracking.url or run.tracking.mode
