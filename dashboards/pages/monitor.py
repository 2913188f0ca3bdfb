"""Monitor: one run."""

from typing import Final

from dashboards.metric_places import judged
from dashboards.pages.prose import (
    WHAT_A_STEP_IS,
    WHAT_MIDCOURSE_IS,
    faults_of,
    how_it_stands,
    page_runs,
    where_from,
)
from dashboards.pages.sections import sections_of
from dashboards.panels import Page, Scalar, Scalars, Section
from dashboards.records import Run

MOST_NUMBERS: Final = 5
"""At a glance."""


def monitor(run: Run) -> Page:
    """How one run goes: its numbers at a glance, then the six sections."""
    return Page(
        kind="monitor",
        title=f"Run {run.label}",
        experiment=run.experiment,
        intro=[
            f"One training run of the experiment {run.experiment}. {how_it_stands(run)}",
            where_from(run),
            f"{WHAT_MIDCOURSE_IS} {WHAT_A_STEP_IS}",
            *faults_of([run]),
        ],
        runs=page_runs([run]),
        sections=[*_at_a_glance(run), *sections_of([run], together=True)],
    )


def _at_a_glance(run: Run) -> list[Section]:
    shown = judged(run.series)[:MOST_NUMBERS]
    if not shown:
        return []
    return [
        Section(
            title="At a glance",
            explanation="The best and the newest value of what the run is judged by.",
            panels=[
                Scalars(
                    title="In numbers",
                    runs=[run.id],
                    scalars=[
                        Scalar(metric=shown[0], pick="best"),
                        *(Scalar(metric=name, pick="last") for name in shown),
                    ],
                )
            ],
        )
    ]
