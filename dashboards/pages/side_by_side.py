"""Which runs stand side by side where each takes much room: matrices, tables, pictures."""

from collections.abc import Sequence
from typing import Final

from dashboards.comparing import metric_value
from dashboards.metric_places import main_metric
from dashboards.records import Run, metric_names
from midcourse.contract.directions import direction

MOST_RUNS: Final = 12


def side_by_side(runs: Sequence[Run]) -> tuple[Sequence[Run], str]:
    """All runs, or the best of very many, in the order given; and in words which, if not all."""
    if len(runs) <= MOST_RUNS:
        return runs, ""
    main = main_metric(metric_names(runs))
    if main is None:
        return runs[:MOST_RUNS], f" Of {len(runs)} runs, the first {MOST_RUNS} are shown."
    chosen = sorted(runs, key=lambda run: _loss(run, main))[:MOST_RUNS]
    return (
        [run for run in runs if run in chosen],
        f" Of {len(runs)} runs, the {MOST_RUNS} best by {main} are shown.",
    )


def _loss(run: Run, metric: str) -> float:
    """Less is better; a run that has not logged the metric comes last."""
    value = metric_value(run, metric)
    return float("inf") if value is None else -value * direction(metric)
