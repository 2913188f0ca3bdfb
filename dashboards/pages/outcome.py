"""What a change was worth: a fork's results beside its parent's."""

from collections.abc import Sequence

from pydantic import JsonValue

from dashboards.differences import MetricDifference, class_differences
from dashboards.media_places import media_panels
from dashboards.metric_places import Place
from dashboards.panels import Bars, Matrix, Panel, Rows, Section
from dashboards.records import Run
from dashboards.words import difference, number


def in_numbers(found: Sequence[MetricDifference], child: Run, parent: Run) -> Section:
    """Metric by metric."""
    rows: list[list[JsonValue]] = [
        [
            each.metric,
            each.common_step,
            None if each.at_common is None else number(each.at_common[1]),
            None if each.at_common is None else number(each.at_common[0]),
            difference(each.change),
            each.verdict,
            number(each.best[1]),
            number(each.best[0]),
            number(each.final[1]),
            number(each.final[0]),
        ]
        for each in found
    ]
    panel = Rows(
        title="Metrics since the fork",
        explanation=(
            "At the last step at which both were measured; then the best values since the fork, "
            "and the last ones, each at its run's own last step. Better and worse go by the "
            "metric's name: of losses and errors less is better, of accuracies and the like more."
        ),
        columns=[
            "metric",
            "common step",
            f"{parent.id} there",
            f"{child.id} there",
            "difference",
            "the fork is",
            f"{parent.id} best",
            f"{child.id} best",
            f"{parent.id} last",
            f"{child.id} last",
        ],
        rows=rows,
    )
    return Section(
        title="In numbers",
        explanation="What the change was worth.",
        panels=[panel] if rows else [],
        empty=None if rows else "There is no metric that both runs logged since they parted.",
    )


def class_by_class(child: Run, parent: Run) -> Section:
    """Which classes gained, and which lost."""
    panels: list[Panel] = []
    for panel in media_panels([parent, child], Place.PER_CLASS):
        if isinstance(panel, Bars):
            panels += [panel, *_class_rows(panel, child, parent)]
        elif isinstance(panel, Matrix):
            panels.append(panel)
    return Section(
        title=Place.PER_CLASS,
        explanation="Which classes gained and which lost, at each run's newest evaluation.",
        panels=panels,
        empty=None if panels else "Nothing was logged for single classes.",
    )


def _class_rows(bars: Bars, child: Run, parent: Run) -> list[Rows]:
    found = class_differences(child, parent, bars.media)
    if not found:
        return []
    return [
        Rows(
            title=f"{bars.title}: the difference",
            columns=["class", parent.id, child.id, "difference"],
            rows=[
                [
                    each.label,
                    number(each.parent),
                    number(each.child),
                    difference(
                        None
                        if each.child is None or each.parent is None
                        else each.child - each.parent
                    ),
                ]
                for each in found
            ],
        )
    ]
