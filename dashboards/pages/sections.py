"""The six sections that show runs: Training, Interventions, Per-class, Examples, Layers, System."""

from collections.abc import Sequence

from dashboards.media_places import media_panels
from dashboards.metric_places import Chart, Place, charts_of
from dashboards.pages.facts import notices, system_facts
from dashboards.pages.prose import which_is_better
from dashboards.pages.side_by_side import side_by_side
from dashboards.panels import Curves, Panel, Rows, Section, TableOf
from dashboards.records import Run, metric_names
from dashboards.words import cell
from midcourse.contract.interventions import PARAMETER_PREFIX, TABLE
from midcourse.contract.receipts import CommandState


def sections_of(runs: Sequence[Run], *, together: bool = False) -> list[Section]:
    """All six, in the order in which they are read.

    Args:
        runs: whose.
        together: the same of training and test data share a chart, which one run alone leaves
            room for.
    """
    return [
        training(runs, together=together),
        interventions(runs),
        per_class(runs, together=together),
        examples(runs),
        layers(runs),
        system(runs, together=together),
    ]


def training(runs: Sequence[Run], *, together: bool = False) -> Section:
    """Losses, accuracies, rates, and what fits nowhere else."""
    panels = [*curves(runs, Place.TRAINING, together=together), *media_panels(runs, Place.TRAINING)]
    return Section(
        title=Place.TRAINING,
        explanation="How the model learns. The x-axis counts optimizer steps.",
        panels=panels,
        empty=None if panels else "No metric was logged yet.",
    )


def interventions(runs: Sequence[Run]) -> Section:
    """Who did what, and the live parameters that did not stay as they were."""
    acted = [run.id for run in runs if run.interventions]
    panels: list[Panel] = []
    if acted:
        panels.append(
            TableOf(
                title="Who changed what",
                explanation=(
                    "Every command to a run, in the order in which they ended. Before and after "
                    "are read back from the training program, not copied from the request. A "
                    "number below 0 is a command that the run gave itself."
                ),
                media=TABLE,
                runs=acted,
            )
        )
    panels += _parameter_curves(runs)
    if len(runs) == 1 and runs[0].values:
        panels.append(_parameter_table(runs[0]))
    return Section(
        title=Place.INTERVENTIONS,
        explanation=(
            "Midcourse lets people change a run while it trains. Each change acts between two "
            "optimizer steps, and is recorded before it acts."
        ),
        panels=panels,
        empty=None if panels else "Nobody has changed anything, and nothing can be changed live.",
    )


def per_class(runs: Sequence[Run], *, together: bool = False) -> Section:
    """Confusion matrices, bars and tables with a line for each class."""
    shown, which = side_by_side(runs)
    panels = [
        *media_panels(shown, Place.PER_CLASS),
        *curves(runs, Place.PER_CLASS, together=together),
    ]
    return Section(
        title=Place.PER_CLASS,
        explanation=f"How well each class is told from the others, at the newest step.{which}",
        panels=panels,
        empty=None if panels else "Nothing was logged for single classes.",
    )


def examples(runs: Sequence[Run]) -> Section:
    """Pictures."""
    shown, which = side_by_side(runs)
    panels = media_panels(shown, Place.EXAMPLES)
    return Section(
        title=Place.EXAMPLES,
        explanation=(
            f"Pictures that the program chose to show, from the newest step that has any.{which}"
        ),
        panels=panels,
        empty=None if panels else "No picture was logged.",
    )


def layers(runs: Sequence[Run]) -> Section:
    """Norms of gradients, weights and updates, layer by layer."""
    panels = curves(runs, Place.LAYERS)
    return Section(
        title=Place.LAYERS,
        explanation=(
            "The sizes (Euclidean norms) of gradients, weights and updates of each layer. A layer "
            "whose gradient vanishes or explodes shows here before the loss does."
        ),
        panels=panels,
        empty=None if panels else "Layers were not watched; `run.watch()` logs their norms.",
    )


def system(runs: Sequence[Run], *, together: bool = False) -> Section:
    """Speed, where it was logged, and what is known of how the runs were run."""
    panels = [*curves(runs, Place.SYSTEM, together=together), system_facts(runs), *notices(runs)]
    return Section(
        title=Place.SYSTEM,
        explanation="How fast the runs were, how often they were started, and with what versions.",
        panels=panels,
    )


def curves(runs: Sequence[Run], place: Place, *, together: bool = False) -> list[Panel]:
    """A panel for each chart of a section: for each metric, or for those that belong together."""
    charts = charts_of(metric_names(runs), place, together=together)
    return [_curves(chart, runs) for chart in charts]


def _curves(chart: Chart, runs: Sequence[Run]) -> Curves:
    return Curves(
        title=chart.title,
        metrics=list(chart.metrics),
        runs=[run.id for run in runs if any(metric in run.series for metric in chart.metrics)],
        explanation=which_is_better(chart.metrics),
        log_y=chart.log_y,
    )


def _parameter_curves(runs: Sequence[Run]) -> list[Panel]:
    """Of the live parameters that are numbers and were not the same in all runs all the time."""
    moved = [
        metric
        for metric in metric_names(runs)
        if metric.startswith(PARAMETER_PREFIX) and _moved(metric, runs)
    ]
    return [
        Curves(
            title=metric.removeprefix(PARAMETER_PREFIX),
            metrics=[metric],
            runs=[run.id for run in runs if metric in run.series],
            held=True,
        )
        for metric in moved
    ]


def _moved(metric: str, runs: Sequence[Run]) -> bool:
    values = [run.series[metric].values for run in runs if metric in run.series]
    return len({value for each in values for value in each.tolist()}) > 1


def _parameter_table(run: Run) -> Rows:
    changed = {each.parameter for each in run.interventions if each.state == CommandState.APPLIED}
    return Rows(
        title="Live parameters",
        explanation=(
            "What can be changed while the run trains, as it was last. Those that have no value, "
            "such as the options of a schedule that is not in use, are left out."
        ),
        columns=["parameter", "value", "changed in this run"],
        rows=[
            [name, cell(value), "yes" if name in changed else "no"]
            for name, value in sorted(run.values.items())
            if value is not None or name in changed
        ],
    )
