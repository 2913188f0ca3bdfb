"""What did this change do? A fork beside the run it came from, from the checkpoint they share."""

from collections.abc import Sequence

from pydantic import JsonValue

from dashboards.differences import MetricDifference, metric_differences
from dashboards.metric_places import Chart, Place, charts_of, main_metric
from dashboards.pages.outcome import class_by_class, in_numbers
from dashboards.pages.prose import (
    WHAT_MIDCOURSE_IS,
    faults_of,
    page_runs,
    where_from,
    which_is_better,
)
from dashboards.panels import (
    ConfigDifference,
    Curves,
    Page,
    Panel,
    Rows,
    Section,
    TableOf,
)
from dashboards.records import Run, metric_names
from dashboards.words import cell, number
from midcourse.contract.commands import FORK_SEQ
from midcourse.contract.directions import direction
from midcourse.contract.interventions import TABLE


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
    found = metric_differences(child, parent, _judged([child, parent]), after)
    return Page(
        kind="what_changed",
        title=f"What did this change do? {child.label} against {parent.label}",
        experiment=child.experiment,
        intro=[
            where_from(child),
            *_verdict(found, child, parent),
            _what_is_shared(after, warm_start=child.origin.warm_start),
            WHAT_MIDCOURSE_IS,
            *faults_of([child, parent]),
        ],
        runs=page_runs([parent, child]),
        sections=[
            _changes(child, parent, after),
            _curves(child, parent, after),
            in_numbers(found, child, parent),
            class_by_class(child, parent),
        ],
    )


def _judged(runs: Sequence[Run]) -> list[str]:
    judged = [metric for metric in metric_names(runs) if direction(metric)]
    main = main_metric(judged)
    return sorted(judged, key=lambda metric: (metric != main, metric))


def _verdict(found: Sequence[MetricDifference], child: Run, parent: Run) -> list[str]:
    """What came of it, in a sentence, by the main metric; [] where there is nothing to say yet."""
    at_common = found[0].at_common if found else None
    if at_common is None:
        return [
            "The two runs have logged no metric at the same step since they parted, so there is "
            "nothing to compare yet."
        ]
    first = found[0]
    ours, theirs = at_common
    how = "the same" if first.verdict == "equal" else first.verdict
    return [
        f"At step {first.common_step}, the last at which both were measured, {first.metric} of "
        f"{child.label} is {number(ours)}, and of {parent.label} {number(theirs)}: {how} by "
        f"{number(abs(ours - theirs))}."
        if how != "the same"
        else f"At step {first.common_step}, the last at which both were measured, {first.metric} "
        f"is {number(ours)} in both runs."
    ]


def _what_is_shared(after: int, *, warm_start: bool) -> str:
    shared = f"share every step up to step {after}" if after >= 0 else "begin from the same weights"
    edited = (
        " The model was edited at the fork: layers that fit kept their weights, others began anew."
        if warm_start
        else ""
    )
    return (
        f"The two runs {shared}; what differs afterwards comes from the changes listed here."
        f"{edited} It is one run against one: a small difference may be luck, and another seed "
        "could turn it round."
    )


def _changes(child: Run, parent: Run, after: int) -> Section:
    acted = [
        run.id
        for run in (parent, child)
        if any(each.step is not None and each.step >= after for each in run.interventions)
    ]
    panels: list[Panel] = [_changed_at_the_fork(child)]
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


def _changed_at_the_fork(child: Run) -> Rows:
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
    return Rows(
        title="Changes at the fork",
        explanation=(
            "Values before and after, as they were read back from the running program."
            if rows
            else "There was none: a fork without a change goes on exactly as its parent does."
        ),
        columns=["parameter", "before", "after", "state"],
        rows=rows,
    )


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
