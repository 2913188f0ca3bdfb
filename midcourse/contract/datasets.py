"""What is recorded of the data that a run trains on."""

from typing import Annotated

from pydantic import Field

from midcourse.contract.base import MAX_INTEGER, Record
from midcourse.contract.checkpoints import Sha256


class Dataset(Record):
    """One version of a data set: equal digests mean equal data."""

    name: str = Field(min_length=1, max_length=200)
    digest: Sha256
    """sha256 over all samples and labels; how it is taken is the program's own."""
    samples: Annotated[int, Field(ge=0, le=MAX_INTEGER)]
    """How many there are, in all parts."""
    bytes: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = None
    """The size of all samples and labels."""
    labels: dict[str, Annotated[int, Field(ge=0, le=MAX_INTEGER)]] = Field(default_factory=dict)
    """How many training samples each class has."""
