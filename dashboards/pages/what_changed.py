"""What did this change do? A fork beside the run it came from, from the checkpoint they share."""

from collections.abc import Sequence
from typing import Final

from dashboards.differences import MetricDifference, metric_differences
from dashboards.metric_places import Chart, Place, charts_of, judged, main_metric
from dashboards.pages.outcome import class_by_class, in_numbers
from dashboards.pages.prose import (
    WHAT_MIDCOURSE_IS,
    faults_of,
    page_runs,
    where_from,
    which_is_better,
)
from dashboards.pages.the_change import edited_settings, the_change
from dashboards.panels import Curves, Page, Panel, Section
from dashboards.records import Run, metric_names
from dashboards.words import number

MODEL: Final = "model"
"""The part of the bundled trainer's configuration that says what the model is."""


def what_changed(child: Run, parent: Run) -> Page:
    """A fork, or a revert's child, against the run whose checkpoint it began with.

    Args:
        child: a run with an origin.
        parent: the run that the origin names.

    Raises:
        ValueError: the child does not come from the parent.
    """
    after = child.branched_at
    if child.origin is None or child.origin.run != parent.id or after is None:
        raise ValueError(f"{child.id} does not come from {parent.id}")
    found = metric_differences(child, parent, judged(metric_names([child, parent])), after)
    return Page(
        kind="what_changed",
        title=f"What did this change do? {child.label} against {parent.label}",
        experiment=child.experiment,
        intro=[
            where_from(child),
            *_verdict(found, child, parent),
            _what_is_shared(child, parent, after),
            WHAT_MIDCOURSE_IS,
            *faults_of([child, parent]),
        ],
        runs=page_runs([parent, child]),
        sections=[
            the_change(child, parent, after),
            _curves(child, parent, after),
            in_numbers(found, child, parent),
            class_by_class(child, parent),
        ],
    )


def _verdict(found: Sequence[MetricDifference], child: Run, parent: Run) -> list[str]:
    """What came of it, by the main metric, or else by one that both have at some step."""
    first = next((each for each in found if each.at_common is not None), None)
    if first is None or first.at_common is None:
        return [
            "The two runs have logged no metric at the same step since they parted, so there is "
            "nothing to compare yet."
        ]
    main = main_metric(metric_names([child, parent]))
    other = (
        ""
        if first.metric == main
        else f" They are judged by {main}, but have logged it at no common step since they parted."
    )
    ours, theirs = first.at_common
    point = f"At step {first.common_step}, the last at which both were measured, {first.metric}"
    if first.verdict == "equal":
        return [f"{point} is {number(ours)} in both runs.{other}"]
    return [
        f"{point} of {child.label} is {number(ours)}, and of {parent.label} {number(theirs)}: "
        f"{first.verdict} by {number(abs(ours - theirs))}.{other}"
    ]


def _what_is_shared(child: Run, parent: Run, after: int) -> str:
    shared = f"share every step up to step {after}" if after >= 0 else "begin from the same weights"
    return (
        f"The two runs {shared}; what differs afterwards comes from the changes listed here."
        f"{_what_was_edited(child, parent)} It is one run against one: a small difference may be "
        "luck, and another seed could turn it round."
    )


def _what_was_edited(child: Run, parent: Run) -> str:
    assert child.origin is not None
    if not child.origin.warm_start:
        return ""
    if any(name.partition(".")[0] == MODEL for name in edited_settings(child, parent)):
        return (
            " The model was edited at the fork: layers that fit kept their weights, others began "
            "anew."
        )
    return " The fork was made with another configuration; weights that fit it were kept."


def _curves(child: Run, parent: Run, after: int) -> Section:
    runs = [parent, child]
    charts = charts_of(metric_names(runs), Place.TRAINING, together=False)
    panels: list[Panel] = [_curve(chart, runs, after) for chart in charts]
    return Section(
        title="Side by side",
        explanation=f"Both runs from step {max(after, 0)} on, where they part.",
        panels=panels,
        empty=None if panels else "Neither run has logged a metric.",
    )


def _curve(chart: Chart, runs: Sequence[Run], after: int) -> Curves:
    return Curves(
        title=chart.title,
        metrics=list(chart.metrics),
        runs=[run.id for run in runs if any(metric in run.series for metric in chart.metrics)],
        log_y=chart.log_y,
        explanation=which_is_better(chart.metrics),
        from_step=after,
    )
