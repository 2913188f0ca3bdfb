"""What of runs is compared: settings, live parameters and metrics, each by a dotted name."""

import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from dashboards.panels import Column
from dashboards.records import Run
from midcourse.contract.directions import direction
from midcourse.contract.dotted import flat


def config_of(run: Run) -> dict[str, JsonValue]:
    """A run's configuration by dotted name, with its seed."""
    return {"seed": run.file.seed} | flat(run.config)


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two settings are the same; True and 1 are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def differing(settings: Sequence[Mapping[str, JsonValue]]) -> list[str]:
    """The names whose values are not the same in all, or that not all have; in order."""
    names = sorted({name for each in settings for name in each})
    return [
        name
        for name in names
        if any(name not in each or not same(each[name], settings[0].get(name)) for each in settings)
    ]


def columns_that_differ(runs: Sequence[Run]) -> list[Column]:
    """What is not the same in all runs, and has a value in some: parameters, then settings.

    A live parameter counts as it was last, in place of what the configuration says of it.
    """
    parameters = [run.values for run in runs]
    steered = {name for values in parameters for name in values}
    columns = [Column(source="parameter", name=name) for name in differing(parameters)] + [
        Column(source="config", name=name)
        for name in differing([config_of(run) for run in runs])
        if name not in steered
    ]
    return [column for column in columns if _values(column, runs)]


def columns_to_compare(runs: Sequence[Run]) -> list[Column]:
    """What the runs differ in and an axis can show: numbers and words, but no lists."""
    return [column for column in columns_that_differ(runs) if _fits_an_axis(_values(column, runs))]


def value_of(column: Column, run: Run) -> JsonValue:
    """What a run has in a column; None where it has nothing."""
    match column.source:
        case "config":
            return config_of(run).get(column.name)
        case "parameter":
            return run.values.get(column.name)
        case "metric":
            return metric_value(run, column.name)


def metric_value(run: Run, metric: str) -> float | None:
    """The best value of a metric, or the last where its name tells no direction."""
    series = run.series.get(metric)
    if series is None:
        return None
    best = run.best(metric)
    if direction(metric):
        return None if best is None else best.value
    return series.last


def _values(column: Column, runs: Iterable[Run]) -> list[JsonValue]:
    return [value for run in runs if (value := value_of(column, run)) is not None]


def _fits_an_axis(values: Sequence[JsonValue]) -> bool:
    return all(isinstance(value, bool | int | float | str) for value in values)
