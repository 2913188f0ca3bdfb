"""Single numbers of runs."""

from dataclasses import dataclass

from dashboards.html.source import Source
from dashboards.panels import Scalar, Scalars
from dashboards.records import Run
from dashboards.words import number


@dataclass(frozen=True)
class ScalarView:
    """One number."""

    title: str
    value: str
    detail: str
    run: str
    colour: str


def draw_scalars(panel: Scalars, source: Source) -> list[ScalarView]:
    """A tile for each number that there is."""
    views = []
    for run in source.of(panel.runs):
        for scalar in panel.scalars:
            found = _value(run, scalar)
            if found is not None:
                value, step = found
                views.append(
                    ScalarView(
                        title=scalar.metric,
                        value=number(value),
                        detail=f"{scalar.pick}, at step {step}",
                        run=source.label(run.id),
                        colour=source.colour(run.id),
                    )
                )
    return views


def _value(run: Run, scalar: Scalar) -> tuple[float, int] | None:
    if scalar.pick == "best":
        best = run.best(scalar.metric)
        return None if best is None else (best.value, best.step)
    series = run.series.get(scalar.metric)
    if series is None or series.last is None:
        return None
    return series.last, int(series.steps[-1])
