"""A run's history as the public API reads it: pages, samples, keys."""

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from wandb_server.executor import Args
from wandb_server.runs import Run

T = TypeVar("T")
SAMPLES = 500


def page(run: Run, args: Args) -> list[str]:
    """Lines from `minStep` to before `maxStep`; without them, a sample of all."""
    if args.get("minStep") is None and args.get("maxStep") is None:
        return sample(run.history.present, int(args.get("samples") or SAMPLES))
    begin = int(args.get("minStep") or 0)
    end = math.inf if args.get("maxStep") is None else int(args["maxStep"])
    return [line for line, row in run.history.rows() if begin <= row.get("_step", -1) < end]


def sampled(run: Run, spec_json: str) -> list[dict[str, Any]]:
    """Rows that have all the keys of a spec, from `minStep` to `maxStep`, which belongs to it."""
    spec = json.loads(spec_json)
    keys = spec.get("keys") or []
    begin, end = spec.get("minStep") or 0, spec.get("maxStep")
    found = [
        {key: row[key] for key in keys} if keys else row
        for row in run.rows
        if all(key in row for key in keys)
        and row.get("_step", 0) >= begin
        and (end is None or row.get("_step", 0) <= end)
    ]
    return [strict(row) for row in sample(found, int(spec.get("samples") or SAMPLES))]


def sample(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of them, evenly, with the first and the last."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[-1]]
    return [items[round(at * (len(items) - 1) / (count - 1))] for at in range(count)]


def keys(run: Run) -> dict[str, Any]:
    """`historyKeys`: which keys there are, how often, and the last step."""
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, Any] = {}
    for row in run.rows:
        for key, value in row.items():
            of = counts.setdefault(key, {})
            of[_kind(value)] = of.get(_kind(value), 0) + 1
            last[key] = value
    return {
        "lastStep": run.last_step,
        "sets": [],
        "keys": {
            key: {
                "typeCounts": [{"type": kind, "count": n} for kind, n in of.items()],
                "monotonic": key in ("_step", "_runtime", "_timestamp"),
                "previousValue": strict(last[key]),
            }
            for key, of in counts.items()
        },
    }


def _kind(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    if isinstance(value, dict):
        return str(value.get("_type", "map"))
    return {str: "string", list: "list"}.get(type(value), "unknown")


def strict(value: Any) -> Any:
    """The same in strict JSON: NaN and the infinities as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: strict(each) for key, each in value.items()}
    if isinstance(value, list):
        return [strict(each) for each in value]
    return value
