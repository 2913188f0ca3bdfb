"""Monitor: one run."""

from dashboards.metric_places import main_metric
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
from midcourse.contract.directions import direction


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
        sections=[*_at_a_glance(run), *sections_of([run])],
    )


def _at_a_glance(run: Run) -> list[Section]:
    judged = sorted(name for name in run.series if direction(name))
    main = main_metric(judged)
    if main is None:
        return []
    others = [name for name in judged if name != main]
    return [
        Section(
            title="At a glance",
            explanation="The best and the newest value of what the run is judged by.",
            panels=[
                Scalars(
                    title="In numbers",
                    runs=[run.id],
                    scalars=[
                        Scalar(metric=main, pick="best"),
                        *(Scalar(metric=name, pick="last") for name in [main, *others][:5]),
                    ],
                )
            ],
        )
    ]
