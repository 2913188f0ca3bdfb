"""A report that is there, with our part of it as it is now, and what people wrote around it.

Our part stands between two sentences that say so. The second bears a mark of what stood between
them when we wrote it, by which it is seen whether somebody has changed it since.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

Block = dict[str, Any]
Spec = dict[str, Any]
"""A report as W&B keeps it."""

BEGIN: Final = "Midcourse writes this part, down to its end, anew when there is news of the runs."
END: Final = "Here ends what Midcourse writes; what you write below, or above its part, stays."
_MARK = re.compile(r" \(mark ([0-9a-f]{8})\)")
_GIVEN_ANEW = ("id", "__id__", "ref")
"""What differs each time, though nothing has changed."""


@dataclass(frozen=True)
class Merged:
    """What is to be done about a report that is there."""

    spec: Spec | None
    """As it is to be saved; None: we have nothing new to say, so it stays as it is."""
    loses: bool
    """Whether people changed our part, and what they did is to be kept elsewhere."""


def marked(fresh: Spec) -> Spec:
    """A report of ours, with its mark."""
    spec = deepcopy(fresh)
    part = _part(spec["blocks"])
    assert part is not None, "every report of ours has both sentences"
    begin, end = part
    text = f"{END} (mark {_mark(spec['blocks'][begin:end])})"
    spec["blocks"][end] = {**spec["blocks"][end], "children": [{"text": text}]}
    return spec


def with_ours(found: Spec, fresh: Spec) -> Merged:
    """The report as it is to be saved: our part anew, everything else as it is.

    Args:
        found: as the server has it.
        fresh: as we would make it anew, with its mark.
    """
    blocks, ours = found.get("blocks") or [], fresh["blocks"]
    there, here = _part(blocks), _part(ours)
    assert here is not None, "it has its mark"
    if there is None:  # somebody took our sentences away: nobody can tell whose is what
        return Merged({**found, "blocks": ours}, loses=bool(blocks))
    begin, end = there
    written = _mark_in(blocks[end])
    if written == _mark_in(ours[here[1]]):
        return Merged(None, loses=False)
    renewed = [*blocks[:begin], *ours[here[0] : here[1] + 1], *blocks[end + 1 :]]
    return Merged({**found, "blocks": renewed}, loses=_mark(blocks[begin:end]) != written)


def _part(blocks: Sequence[Block]) -> tuple[int, int] | None:
    """Where our part begins and ends, both sentences included."""
    begin = next((i for i, each in enumerate(blocks) if _text(each).startswith(BEGIN)), None)
    end = next((i for i, each in enumerate(blocks) if _text(each).startswith(END)), None)
    return (begin, end) if begin is not None and end is not None and begin < end else None


def _mark_in(block: Block) -> str | None:
    found = _MARK.search(_text(block))
    return found[1] if found else None


def _mark(blocks: Sequence[Block]) -> str:
    text = json.dumps(_lasting(list(blocks)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in _GIVEN_ANEW}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def _text(block: Block) -> str:
    """The words of a paragraph; empty of anything else."""
    if block.get("type") != "paragraph":
        return ""
    return "".join(str(each.get("text", "")) for each in block.get("children") or [])
