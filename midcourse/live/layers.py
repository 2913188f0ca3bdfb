"""Layers by pattern: `features.*`, `classifier`, `*.bias`; and the names to tell them by.

A pattern is compared, as file names are in a shell, with the dotted names of modules and of
weights; `*` also stands for dots. One that fits a module means everything below it.
"""

import difflib
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from midcourse.live.part import CheckEach

WHOLE = "*"
"""The name of the model itself, which torch leaves empty."""

_LISTED = 20
"""How many layers a refusal lists; its `allowed` has them all."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers that only add a word to every name: compiled, data-parallel."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod  # type: ignore[assignment]
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern fits a dotted name, or that of a module above it."""
    return any(_is(pattern, above) for above in (name, *_above(name)))


def _is(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _above(name: str) -> list[str]:
    """The modules that a name lies in, innermost first, without the model itself."""
    words = name.split(".")
    return [".".join(words[:length]) for length in range(len(words) - 1, 0, -1)]


def match(
    patterns: Iterable[str], names: Collection[str], check: CheckEach, path: str, kind: str
) -> dict[str, list[str]]:
    """The names that each pattern fits.

    Args:
        patterns: as a command gave them.
        names: what counts, dotted, such as the names of all weights.
        check: is told of each pattern that fits none, with the near misses.
        path: of the parameter, for faults.
        kind: what `names` are, in the singular: `layer`, `dropout layer`.
    """
    found = {}
    for pattern in patterns:
        found[pattern] = [name for name in names if fits(pattern, name)]
        if not found[pattern]:
            check.refuse(path, _no_match(pattern, names, kind), [*sorted(_named(names))])
    return found


def _no_match(pattern: str, names: Collection[str], kind: str) -> str:
    known = sorted(_named(names))
    endings = {f"*.{name.rpartition('.')[2]}" for name in names if "." in name}
    near = difflib.get_close_matches(pattern.removesuffix(".*"), [*known, *sorted(endings)], n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    shown = ", ".join(known[:_LISTED])
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"'{pattern}' matches no {kind}.{hint} {kind.capitalize()}s: {shown}{more}"


def _named(names: Iterable[str]) -> set[str]:
    """The names themselves and those of all modules that they lie in."""
    return {one for name in names for one in (name, *_above(name))}


def shortest(chosen: Collection[str], names: Sequence[str]) -> list[str]:
    """The shortest true list: modules of which everything is chosen, else single names.

    Args:
        chosen: some of `names`.
        names: all there are, dotted.

    Returns:
        Sorted, and as patterns they fit `chosen` and nothing else of `names`; `*` for all.
    """
    chosen = set(chosen)
    if chosen and chosen.issuperset(names):
        return [WHOLE]
    partly = {above for name in names if name not in chosen for above in _above(name)}
    told = set()
    for name in chosen:
        whole = [above for above in _above(name) if above not in partly]
        told.add(whole[-1] if whole else name)
    return sorted(told)
