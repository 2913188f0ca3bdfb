"""What a tracker should have shown, and what of it did not arrive."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expected:
    """What the log says that there must be."""

    rows: int
    """How many rows, in all."""
    last_position: int | None
    """Where the newest stands; None where there is none."""
    checkpoints: Sequence[str] = ()
    """The names of those that belong on the shelf."""


@dataclass(frozen=True)
class Missing:
    """What did not arrive; false where all of it did."""

    rows: int = 0
    what: list[str] = field(default_factory=list)
    """The rest, in words: `the config`, `2 files`."""
    errands: list[str] = field(default_factory=list)
    """What was asked of the server beside the rows, and is to be asked again, in words."""
    offline: bool = False
    """Nothing was sent, and nothing was to be sent now."""

    def __bool__(self) -> bool:
        return bool(self.is_in_the_log or self.errands)

    @property
    def is_in_the_log(self) -> bool:
        """Whether something is missing that comes by reading the log once more."""
        return bool(self.rows or self.what)

    def __str__(self) -> str:
        rows = f"{self.rows} {'row' if self.rows == 1 else 'rows'}"
        return ", ".join([*([rows] if self.rows else []), *self.what, *self.errands])
