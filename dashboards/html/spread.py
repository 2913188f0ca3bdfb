"""A chart of many layers of many runs, spread out: one for each of a few layers.

In one chart a line would need a look for its run and another for its layer, which nobody can read.
"""

from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import Final

import numpy as np

from dashboards.panels import Curves, Page, Panel
from dashboards.records import Run
from dashboards.series import Values

MOST_LAYERS: Final = 6
"""Of a chart that is spread out; those where something goes wrong are among the extremes."""
MOST_NAMES: Final = 30
"""Of what is left out."""


def spread_out(page: Page, runs: Mapping[str, Run]) -> Page:
    """A page on which a chart of several runs shows one metric, so that each line is a run.

    Args:
        page: of any kind; the page of one run stays as it is.
        runs: the records of all runs that the page names.
    """
    if len(page.runs) == 1:
        return page
    sections = [
        section.model_copy(
            update={"panels": [each for panel in section.panels for each in _spread(panel, runs)]}
        )
        for section in page.sections
    ]
    return page.model_copy(update={"sections": sections})


def extremes(values: Mapping[str, Values], at_most: int) -> list[str]:
    """The names whose values are the most extreme, in the order given.

    Those with values that are not finite come first; then the greatest, and the least above 0, by
    turns: what explodes, and what vanishes.
    """
    broken = [name for name, each in values.items() if not np.isfinite(each).all()]
    finite = {name: each[np.isfinite(each) & (each > 0)] for name, each in values.items()}
    there = [name for name, each in finite.items() if len(each)]
    greatest = sorted(there, key=lambda name: -float(finite[name].max()))
    least = sorted(there, key=lambda name: float(finite[name].min()))
    by_turns = chain.from_iterable(zip_longest(greatest, least))
    chosen = list(dict.fromkeys(name for name in (*broken, *by_turns, *values) if name is not None))
    return [name for name in values if name in chosen[:at_most]]


def _spread(panel: Panel, runs: Mapping[str, Run]) -> list[Panel]:
    if not isinstance(panel, Curves) or len(panel.metrics) == 1:
        return [panel]
    logged = {
        metric: [runs[run].series[metric] for run in panel.runs if metric in runs[run].series]
        for metric in panel.metrics
    }
    values = {
        metric: np.concatenate([each.values for each in series])
        for metric, series in logged.items()
        if series
    }
    shown = extremes(values, MOST_LAYERS)
    told = [panel.explanation, *_left_out([name for name in values if name not in shown])]
    return [
        panel.model_copy(
            update={
                "title": f"{panel.title}: {metric}",
                "metrics": [metric],
                "runs": [run for run in panel.runs if metric in runs[run].series],
                "explanation": " ".join(part for part in told if part) if not place else "",
            }
        )
        for place, metric in enumerate(shown)
    ]


def _left_out(names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [
        f"Of {len(names) + MOST_LAYERS} such metrics, the {MOST_LAYERS} with the greatest and the "
        f"least values have a chart. Left out: {', '.join(names[:MOST_NAMES])}{more}."
    ]
