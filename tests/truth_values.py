"""What the values of live parameters mean, written a second time: what is allowed, what follows.

`Values` maps each live parameter of `truth_program` to its value. Layers are spelled out: dropout
is a rate for each layer, frozen weights are a set of their names.
"""

import math
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from truth_program import BATCH_SIZE, FAULTY_NOISE, MOST_SMOOTHING, RATE_OF_HEAD, SAMPLES

Values = Mapping[str, Any]

DROPOUTS = ("body.drop", "head.drop")
LAYERS = ("body.linear", "head.linear", "head.out")
WEIGHTS = tuple(f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias"))
WITH_BETAS = ("adam", "adamw")
WAYS = {
    "optimizer.lr": {"mode": ("rebase", "override", "scale")},
    "optimizer.name": {"state": ("reset", "carry")},
    "data.batch_size": {"scale_lr": (False, True)},
}


class Refused(Exception):
    """A change that must be rejected; the parameters at fault."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = set(names)


class Broken(Exception):
    """A change that is acceptable and cannot be carried out."""


def _number(value: Any, low: float, high: float, *, open_low: bool, open_high: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    return math.isfinite(number) and above and below


def _positive(value: Any) -> bool:
    return _number(value, 0, math.inf, open_low=True, open_high=True)


def _share(value: Any) -> bool:
    return _number(value, 0, 1, open_low=False, open_high=True)


def _share_or_one(value: Any) -> bool:
    return _number(value, 0, 1, open_low=False, open_high=False)


def _count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 1_000_000


def _interval(value: Any) -> bool:
    found = re.fullmatch(r"([0-9]+) (step|epoch)s?", value) if isinstance(value, str) else None
    return value is None or (found is not None and int(found[1]) > 0)


def _rates(value: Any) -> bool:
    if not isinstance(value, dict):
        return _share(value)
    matched = all(any(fits(each, name) for name in DROPOUTS) for each in value)
    return bool(value) and matched and all(map(_share, value.values()))


def _patterns(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        return False
    frozen = [weights_of(each) for each in value]
    return all(frozen) and set().union(*frozen) != set(WEIGHTS)


def weights_of(pattern: str) -> set[str]:
    """The weights that a pattern names: by their own names, or by that of a module they are in."""
    return {weight for weight in WEIGHTS if fits(pattern, weight)}


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern names a layer or weight, or a module that it is in."""
    return any(fnmatchcase(prefix, pattern) for prefix in _prefixes(name))


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


ALLOWED = {
    "optimizer.lr": _positive,
    "optimizer.momentum": _share,
    "optimizer.betas": lambda it: isinstance(it, list) and len(it) == 2 and all(map(_share, it)),
    "optimizer.weight_decay": lambda it: _number(it, 0, math.inf, open_low=False, open_high=True),
    "optimizer.name": lambda it: it in ("sgd", *WITH_BETAS),
    "model.dropout": _rates,
    "model.frozen": _patterns,
    "loss.label_smoothing": _share_or_one,
    "noise": _share_or_one,
    "data.batch_size": _count,
    "train.epochs": _count,
    "train.checkpoint_every": _interval,
}
"""What may be said of each parameter, whatever state the run is in."""


def spelled_out(name: str, told: Any) -> Any:
    """A value as a receipt tells it, with its layers spelled out."""
    if name == "model.dropout" and not isinstance(told, dict):
        return dict.fromkeys(DROPOUTS, told)
    if name == "model.frozen":
        return set().union(*map(weights_of, told))
    return told


def changed(values: Values, changes: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """The values after a change.

    Args:
        values: before it.
        changes: as a command carries them.
        epoch: that is under way.

    Raises:
        Refused: the change must be rejected.
        Broken: the change must fail.
    """
    plain, ways = _said(values, changes)
    faulty = {name for name in plain if not ALLOWED[name](plain[name])}
    sound = {name: plain[name] for name in plain.keys() - faulty}
    faulty |= set(changes) - set(plain)
    if "train.epochs" in sound and sound["train.epochs"] <= epoch:
        faulty.add("train.epochs")
    faulty |= _at_odds(values, sound, ways)
    if "noise" in sound and sound["noise"] == FAULTY_NOISE:
        raise Broken
    if faulty:
        raise Refused(*faulty)
    if sound.get("loss.label_smoothing", 0) > MOST_SMOOTHING:
        raise Broken
    return _after(dict(values), sound, ways)


def _said(
    values: Values, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The plain values that were given, and in what ways; what is badly said is left out."""
    plain, ways = {}, {}
    for name, said in changes.items():
        if name not in values:
            continue
        known = WAYS.get(name, {})
        ways[name] = {word: answers[0] for word, answers in known.items()}
        if known and isinstance(said, dict):
            others = {word: answer for word, answer in said.items() if word != "value"}
            if "value" not in said or any(
                word not in known or answer not in known[word] for word, answer in others.items()
            ):
                continue
            ways[name] |= others
            said = said["value"]
        plain[name] = said
    return plain, ways


def _at_odds(values: Values, new: Mapping[str, Any], ways: Mapping[str, Any]) -> set[str]:
    """Parameters that the optimizer does not have, or that contradict one another.

    Moments that do not mean the same in both optimizers cannot be carried.
    """
    if "optimizer.name" in new and ways["optimizer.name"]["state"] == "carry":
        kinds = {it in WITH_BETAS for it in (values["optimizer.name"], new["optimizer.name"])}
        if len(kinds) > 1:  # what is said of other options would be said of no optimizer
            return {"optimizer.name"}
    found = set()
    has_betas = new.get("optimizer.name", values["optimizer.name"]) in WITH_BETAS
    if "optimizer.betas" in new:
        contradicted = new.get("optimizer.momentum", new["optimizer.betas"][0])
        if not has_betas or contradicted != new["optimizer.betas"][0]:
            found.add("optimizer.betas")
    if "data.batch_size" in new and ways["data.batch_size"]["scale_lr"] and "optimizer.lr" in new:
        found.add("data.batch_size")
    return found


def _after(
    values: dict[str, Any], new: Mapping[str, Any], ways: Mapping[str, Any]
) -> dict[str, Any]:
    if "optimizer.name" in new:
        _swap(values, new["optimizer.name"])
    if "data.batch_size" in new and ways["data.batch_size"]["scale_lr"]:
        factor = new["data.batch_size"] / values["data.batch_size"]
        values["optimizer.lr"] = values["optimizer.lr"] * factor
    for name, value in new.items():
        match name:
            case "optimizer.lr":
                scales = ways[name]["mode"] == "scale"
                values[name] = values[name] * value if scales else float(value)
            case "optimizer.momentum" if values["optimizer.betas"] is not None:
                values[name] = float(value)
                values["optimizer.betas"] = [float(value), values["optimizer.betas"][1]]
            case "optimizer.betas":
                values[name] = [float(each) for each in value]
                values["optimizer.momentum"] = values[name][0]
            case "model.dropout":
                values[name] = _dropped(values[name], value)
            case "model.frozen":
                values[name] = set().union(*map(weights_of, value))
            case "train.checkpoint_every" if value is not None:
                count, unit = value.removesuffix("s").split(" ")
                values[name] = f"{int(count)} {unit}{'s' * (int(count) > 1)}"
            case "optimizer.momentum" | "optimizer.weight_decay" | "noise" | "loss.label_smoothing":
                values[name] = float(value)
            case _:
                values[name] = value
    return values


def _swap(values: dict[str, Any], name: str) -> None:
    """Rate and decay stay, and so do betas; a momentum is no beta. Else it begins as it is made."""
    had_betas, has_betas = values["optimizer.name"] in WITH_BETAS, name in WITH_BETAS
    values["optimizer.name"] = name
    if has_betas and not had_betas:
        values["optimizer.betas"], values["optimizer.momentum"] = [0.9, 0.999], 0.9
    if had_betas and not has_betas:
        values["optimizer.betas"], values["optimizer.momentum"] = None, 0.9


def _dropped(old: Mapping[str, float], value: Any) -> dict[str, float]:
    said = value if isinstance(value, dict) else {"*": value}
    new = dict(old)
    for pattern, rate in said.items():
        new |= {name: float(rate) for name in DROPOUTS if fits(pattern, name)}
    return new


def disagreements(values: Values, used: Mapping[str, Any], left: int) -> dict[str, tuple[Any, Any]]:
    """Where what a step used is not what the run was said to have.

    Args:
        values: what it was said to have.
        used: what the program told of the step.
        left: the samples that were left of the epoch.

    Returns:
        By what: (said, used).
    """
    rate = values["optimizer.lr"]
    expected = {
        "optimizer": values["optimizer.name"],
        "weight_decay": [values["optimizer.weight_decay"]] * 2,
        "dropout": values["model.dropout"],
        "smoothing": values["loss.label_smoothing"],
        "noise": values["noise"],
        "samples": min(values.get("data.batch_size", BATCH_SIZE), left),
        "betas": [values["optimizer.betas"]] * 2,
    }
    if values["optimizer.betas"] is None:
        expected["momentum"] = [values["optimizer.momentum"]] * 2
    found = {what: (said, used[what]) for what, said in expected.items() if used[what] != said}
    first, second = used["lr"]
    if first != rate or not math.isclose(second, rate * RATE_OF_HEAD, rel_tol=1e-9):
        found["lr"] = (rate, used["lr"])
    if set(used["frozen"]) != values.get("model.frozen", set()):
        found["frozen"] = (values.get("model.frozen", set()), used["frozen"])
    if moved := set(used["frozen"]) & set(used["moved"]):
        found["moved"] = ("frozen", moved)
    return found


assert SAMPLES % BATCH_SIZE == 0
