"""Comparison: the runs of an experiment, side by side."""

from collections.abc import Sequence
from typing import Final

from dashboards.comparing import columns_that_differ, columns_to_compare, metric_value
from dashboards.importance import strongest
from dashboards.metric_places import Place, judged, main_metric
from dashboards.pages.prose import (
    WHAT_A_STEP_IS,
    WHAT_MIDCOURSE_IS,
    faults_of,
    page_runs,
    status_of,
)
from dashboards.pages.sections import curves, examples, interventions, per_class, system
from dashboards.panels import (
    Column,
    ConfigDifference,
    Importance,
    LineageTree,
    Page,
    Panel,
    ParallelCoordinates,
    Rows,
    Section,
)
from dashboards.records import Run, metric_names
from dashboards.words import counted, number

MOST_AXES: Final = 8
"""Of settings; more than this nobody reads."""
MOST_METRICS: Final = 6
"""In the table of best values."""


def comparison(runs: Sequence[Run], faults: Sequence[str] = ()) -> Page:
    """Runs of one experiment: where they come from, how they did, and what they differ in.

    Args:
        runs: one or more, the oldest first.
        faults: runs that could not be read, in words.
    """
    experiment = runs[0].experiment
    main = main_metric(metric_names(runs))
    return Page(
        kind="comparison",
        title=f"{experiment}: the runs compared",
        experiment=experiment,
        intro=[
            f"{counted(len(runs), 'run')} of the experiment {experiment}. {WHAT_MIDCOURSE_IS}",
            f"{WHAT_A_STEP_IS} Each run keeps its colour on the whole page.",
            *faults_of(runs, faults),
        ],
        runs=page_runs(runs),
        sections=[
            _overview(runs, main),
            _overlays(runs),
            _settings(runs, main),
            interventions(runs),
            per_class(runs),
            examples(runs),
            system(runs),
        ],
    )


def _overview(runs: Sequence[Run], main: str | None) -> Section:
    ids = [run.id for run in runs]
    return Section(
        title="The runs",
        explanation="Which run came from which, and how well each did.",
        panels=[
            LineageTree(
                title="Lineage",
                explanation=(
                    "Which run came from which: the step at which a branch left its parent, and "
                    "what was changed there."
                ),
                runs=ids,
                metric=main,
            ),
            _results(runs),
        ],
    )


def _results(runs: Sequence[Run]) -> Rows:
    shown = judged(metric_names(runs))[:MOST_METRICS]
    return Rows(
        title="Best values",
        explanation=(
            "The best value of each metric over the whole run: the highest, or of losses and "
            "errors the lowest."
        ),
        columns=["run", "status", "last step", *shown],
        rows=[
            [
                run.label,
                status_of(run),
                run.last_step,
                *(number(metric_value(run, metric)) for metric in shown),
            ]
            for run in runs
        ],
    )


def _overlays(runs: Sequence[Run]) -> Section:
    panels = curves(runs, Place.TRAINING)
    return Section(
        title=Place.TRAINING,
        explanation=(
            "The curves of all runs over each other. A fork's begins where it left its parent."
        ),
        panels=panels,
        empty=None if panels else "No metric was logged yet.",
    )


def _settings(runs: Sequence[Run], main: str | None) -> Section:
    ids = [run.id for run in runs]
    columns = columns_to_compare(runs)
    panels: list[Panel] = []
    if len(runs) > 1:
        panels.append(
            ConfigDifference(
                title="What the runs differ in",
                explanation="Settings that are not the same in all runs; all others are left out.",
                runs=ids,
            )
        )
    if len(runs) > 1 and columns and main is not None:
        panels += _against(columns, main, runs)
    return Section(
        title="Settings",
        explanation=(
            "What the runs were made with, and their live parameters as they were last; a value "
            "that was changed while training counts as changed."
        ),
        panels=panels,
        empty=None if panels else "There is only one run, so nothing to compare it with.",
    )


def _against(columns: list[Column], main: str, runs: Sequence[Run]) -> list[Panel]:
    """The axes that say most; the ranking is a table, and has room for all."""
    result = Column(source="metric", name=main)
    axes = strongest(runs, columns, main, MOST_AXES)
    others = [column for column in columns_that_differ(runs) if column not in axes]
    ids = [run.id for run in runs if main in run.series]
    return [
        ParallelCoordinates(
            title="From settings to results",
            explanation=(
                f"Each line is a run. It crosses every axis at the run's value, and the last one "
                f"at its best {main}.{_without_axis(others)}"
            ),
            runs=ids,
            columns=[*axes, result],
        ),
        Importance(
            title=f"What goes with {main}",
            explanation=(
                "Spearman's rank correlation of each setting with the best value: +1 where more "
                "always went with more, -1 where more always went with less, 0 where there is no "
                "such order. It says what went together, not what caused what; and a live "
                "parameter counts as it was last, though the best may have come before."
            ),
            runs=ids,
            columns=columns,
            metric=main,
        ),
    ]


def _without_axis(columns: Sequence[Column]) -> str:
    if not columns:
        return ""
    settings = counted(
        len(columns), "more setting differs and has", "more settings differ and have"
    )
    return f" {settings} no axis: {', '.join(column.name for column in columns)}."
