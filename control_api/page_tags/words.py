"""A tag on a run's page in W&B, read as what it asks for. No input or output."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from midcourse.contract.errors import MidcourseError
from midcourse.contract.typed_values import parse_value

PREFIX: Final = "mc:"
DONE: Final = "mc:done:"
REFUSED: Final = "mc:refused:"
MOST_LETTERS: Final = 64
"""Of a tag, as W&B has it."""

SHORT_NAMES: Final = {"lr": "optimizer.lr"}
"""Live parameters that may be called by less."""


class Verb(StrEnum):
    """What a tag may ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    SET = "set"
    """`mc:<live parameter>=<value>`."""
    FORK = "fork"
    """`mc:fork`, which is from now, or `mc:fork@<checkpoint>`."""
    UNDO = "undo"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Order:
    """What a tag asks for."""

    verb: Verb
    parameter: str = ""
    """What `set` sets."""
    value: JsonValue = None
    checkpoint: str | None = None
    """What `fork` forks from; None: from now, or from the last one of a run that has ended."""


class NotUnderstood(MidcourseError):
    """The text says what a tag may say."""


_WORDS = "mc:pause, mc:resume, mc:stop, mc:checkpoint, mc:undo, mc:fork, mc:fork@best, mc:lr=1e-4"


def is_order(tag: str) -> bool:
    """Whether a tag asks for something, be it understood or not."""
    return tag.startswith(PREFIX) and not tag.startswith((DONE, REFUSED))


def what(tag: str) -> str:
    """What follows the prefix."""
    return tag.removeprefix(PREFIX)


def read_tag(tag: str) -> Order:
    """What a tag asks for.

    Raises:
        NotUnderstood: it is none of those that there are.
    """
    if len(tag) > MOST_LETTERS:
        raise NotUnderstood(f"a tag has at most {MOST_LETTERS} letters")
    said = what(tag).strip()
    name, equals, value = said.partition("=")
    if equals:
        return _read_set(name.strip(), value.strip())
    word, at, checkpoint = said.partition("@")
    if word == Verb.FORK and bool(at) == bool(checkpoint):
        return Order(Verb.FORK, checkpoint=checkpoint or None)
    if said in set(Verb) - {Verb.SET, Verb.FORK}:
        return Order(Verb(said))
    raise NotUnderstood(f"{_shown(said)} is no word for a run; there are: {_WORDS}")


def _read_set(name: str, value: str) -> Order:
    if not name or not value:
        raise NotUnderstood("a change is mc:<live parameter>=<value>, such as mc:lr=1e-4")
    return Order(Verb.SET, SHORT_NAMES.get(name, name), parse_value(value))


def marker(prefix: str, tag: str, number: int) -> str:
    """What stands on the page in place of a tag: `mc:done:pause#3`.

    The number makes it a tag that never stood there before: only so can an old state of the page be
    told from a new wish.
    """
    end = f"#{number}"
    return prefix + _cut(what(tag), MOST_LETTERS - len(prefix) - len(end)) + end


def note_line(tag: str, outcome: str, number: int, text: str) -> str:
    """What stands in the notes: `mc:lr=banana refused (#3): optimizer.lr: must be …`."""
    shown = _cut(tag, MOST_LETTERS)
    return _on_one_line(f"{shown} {outcome} (#{number}): {_cut(text, 1000)}")


def _shown(text: str) -> str:
    return f'"{_cut(text, 40)}"'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _on_one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
