"""Sweeps: the configurations that one submission asks for."""

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from control_api.configs import merge_patch
from midcourse.contract.api.submissions import MAX_SWEEP, SubmitRun
from midcourse.contract.api.values import RunName
from midcourse.contract.errors import Fault, InvalidInput

MAX_SWEEP_BYTES = 50_000_000
"""Of all configurations of a sweep together: a short grid can stand for very much."""
_MAX_NAME = 200

Config = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One configuration of a submission."""

    config: Config
    where: str
    """What faults in it are faults of: `config`, `configs.3`."""
    label: str | None
    """What sets it apart from the others, for people."""


def variants(wanted: SubmitRun) -> list[Variant]:
    """The configurations that a submission asks for, in order; one where it is no sweep.

    Raises:
        InvalidInput: with every fault of the submission.
    """
    faults = _form_faults(wanted)
    base = wanted.config or {}
    found: list[Variant] = []
    if wanted.grid is not None:
        faults += _grid_faults(base, wanted.grid)
        if not faults:
            found = _grid_variants(base, wanted.grid)
    elif wanted.configs is not None:
        found = [
            Variant(merge_patch(base, config), f"configs.{number}", f"{number + 1}")
            for number, config in enumerate(wanted.configs)
        ]
    else:
        found = [Variant(base, "config", None)]
    if not faults:
        faults = _size_faults(found)
    if faults:
        raise InvalidInput(faults)
    return found


def is_sweep(wanted: SubmitRun) -> bool:
    """Whether a submission is answered as a sweep, be it of one run."""
    return wanted.grid is not None or wanted.configs is not None


def name_of(wanted: SubmitRun, variant: Variant) -> RunName | None:
    """The name of a variant's run: that of the submission, with what sets the run apart."""
    if variant.label is None or (wanted.name is None and wanted.grid is None):
        return wanted.name
    name = variant.label if wanted.name is None else f"{wanted.name}: {variant.label}"
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _form_faults(wanted: SubmitRun) -> list[Fault]:
    faults: list[Fault] = []
    if wanted.config is None and wanted.configs is None:
        faults.append(Fault(path="config", message="is missing: {} trains with the defaults"))
    if wanted.grid is not None and wanted.configs is not None:
        message = "cannot stand beside configs: a sweep is of a grid or of configurations"
        faults.append(Fault(path="grid", message=message))
    if wanted.configs is not None and not 1 <= len(wanted.configs) <= MAX_SWEEP:
        message = f"holds {len(wanted.configs)} configurations; 1 to {MAX_SWEEP} are allowed"
        faults.append(Fault(path="configs", message=message, allowed={"ge": 1, "le": MAX_SWEEP}))
    return faults


def _grid_faults(base: Config, grid: dict[str, list[Any]]) -> list[Fault]:
    faults: list[Fault] = []
    for path, values in grid.items():
        for message in _path_faults(base, path, grid):
            faults.append(Fault(path=f"grid.{path}", message=message))
        if not values:
            message = "has no values: give one at least"
            faults.append(Fault(path=f"grid.{path}", message=message))
        for again in _twice(values):
            message = f"names {json.dumps(again)} twice: both runs would be the same"
            faults.append(Fault(path=f"grid.{path}", message=message))
    count = prod(len(values) for values in grid.values())
    if not grid:
        faults.append(Fault(path="grid", message='is empty: give {"optimizer.lr": [0.1, 0.01]}'))
    elif count > MAX_SWEEP:
        message = f"has {count} combinations; at most {MAX_SWEEP} are allowed in one sweep"
        faults.append(Fault(path="grid", message=message, allowed={"le": MAX_SWEEP}))
    return faults


def _path_faults(base: Config, path: str, grid: Iterable[str]) -> Iterable[str]:
    parts = path.split(".")
    if not all(parts):
        yield "is no place in a configuration; those are words with dots between: optimizer.lr"
        return
    for other in grid:
        if path.startswith(f"{other}."):
            yield f"lies in {other}, which the grid replaces as a whole"
    place: Any = base
    for depth, part in enumerate(parts[:-1], start=1):
        if part not in place:
            return
        place = place[part]
        if not isinstance(place, dict):
            section = ".".join(parts[:depth])
            yield f"cannot be set: config.{section} is {json.dumps(place)[:60]}, and no section"
            return


def _twice(values: Sequence[Any]) -> list[Any]:
    """Values that stand more than once; 1 and 1.0 are the same number, and 1 is not true."""
    seen: set[str] = set()
    again = []
    for value in values:
        form = json.dumps(_plain(value), sort_keys=True)
        if form in seen:
            again.append(value)
        seen.add(form)
    return again


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _grid_variants(base: Config, grid: dict[str, list[Any]]) -> list[Variant]:
    found = []
    for values in product(*grid.values()):
        config = deepcopy(base)
        for path, value in zip(grid, values, strict=True):
            _put(config, path, value)
        label = ", ".join(
            f"{path}={json.dumps(value, ensure_ascii=False)}"
            for path, value in zip(grid, values, strict=True)
        )
        found.append(Variant(config, "config", label))
    return found


def _put(config: Config, path: str, value: Any) -> None:
    *sections, last = path.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    config[last] = deepcopy(value)


def _size_faults(found: Sequence[Variant]) -> list[Fault]:
    size = 0
    for variant in found:
        size += len(json.dumps(variant.config))
        if size > MAX_SWEEP_BYTES:
            message = (
                f"are more than {MAX_SWEEP_BYTES} bytes together; submit the sweep in parts, or "
                "put what is large into a file that the configurations name"
            )
            return [Fault(path=variant.where.partition(".")[0], message=message)]
    return []
