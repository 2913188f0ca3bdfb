"""What the control API and the process that looks at W&B's pages say to each other, in lines."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from midcourse.contract.base import Record
from midcourse.contract.names import RunId


class Place(Record):
    """Where in W&B the pages of some runs are."""

    entity: str
    """A team or a person."""
    project: str


class LookAtPages(Record):
    """Ask what stands on the pages of some runs."""

    kind: Literal["look"] = "look"
    place: Place
    runs: list[RunId]


class MarkPage(Record):
    """Ask for a tag in place of others. The other tags of the page, and its notes, are kept."""

    kind: Literal["mark"] = "mark"
    place: Place
    run: RunId
    remove: list[str]
    """Tags that go, where they are there."""
    add: str
    """The tag that stands there afterwards, once."""
    note: str | None = None
    """A line for the notes, where it does not stand there yet."""


PageRequest = Annotated[LookAtPages | MarkPage, Field(discriminator="kind")]


class Page(Record):
    """What stands on the page of a run."""

    run: RunId
    tags: list[str]
    owner: str | None = None
    """The person to whom the page belongs; null where it is a team's, or nobody knows."""


class PagesSeen(Record):
    """Answer of a look: the pages that are there, in no order."""

    kind: Literal["seen"] = "seen"
    pages: list[Page]


class PageMarked(Record):
    """Answer of a mark."""

    kind: Literal["marked"] = "marked"
    tags: list[str]
    """All tags of the page afterwards, as the server told them."""


class TroubleKind(StrEnum):
    """Why W&B did not do what it was asked."""

    AWAY = "away"
    """It does not answer, not in time, or with an error of its own."""
    TOO_MANY_REQUESTS = "too-many-requests"
    KEY_REFUSED = "key-refused"
    """There is no key, or it is not good."""
    REFUSED = "refused"
    """This one thing: there is no such page, or the key may not write on it."""


class PageTrouble(Record):
    """Answer of a request that came to nothing."""

    kind: Literal["trouble"] = "trouble"
    why: Annotated[TroubleKind, Field(strict=False)]
    text: str
    """For people; never holds the key."""


PageAnswer = Annotated[PagesSeen | PageMarked | PageTrouble, Field(discriminator="kind")]

REQUESTS: TypeAdapter[LookAtPages | MarkPage] = TypeAdapter(PageRequest)
ANSWERS: TypeAdapter[PagesSeen | PageMarked | PageTrouble] = TypeAdapter(PageAnswer)
