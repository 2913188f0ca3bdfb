"""What a run is called in TensorBoard: its folder below the log folder."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from midcourse.contract.runs import RunFile

MOST_BYTES: Final = 120
"""Of a name; file systems take 255, and the id may have to stand behind it."""
_ALSO_FINE: Final = frozenset(" ._-+=,@")


def places(runs: Sequence[RunFile]) -> dict[str, str]:
    """`<experiment>/<name>`, or `<experiment>/<id>` of a run without a name, by id.

    Args:
        runs: the oldest first. Of several with one name, the oldest has it alone, and the others
            have their id behind it: a new run never changes what an old one is called.
    """
    taken: set[str] = set()
    found: dict[str, str] = {}
    for run in runs:
        place = f"{run.experiment}/{clean(run.name or '') or run.id}"
        if place.casefold() in taken:
            place = f"{place} ({run.id})"
        taken.add(place.casefold())
        found[run.id] = place
    return found


def clean(name: str) -> str:
    """A name as a folder's: letters, digits and a few marks; no other folder can be reached by it.

    Returns:
        An empty string where nothing of it is left.
    """
    plain = unicodedata.normalize("NFC", name)
    safe = "".join(each if each.isalnum() or each in _ALSO_FINE else "_" for each in plain)
    short = safe.encode("utf-8", "ignore")[:MOST_BYTES].decode("utf-8", "ignore")
    return short.lstrip(". ").rstrip(". ")
