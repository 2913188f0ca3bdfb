"""What a policy is, and what all of them are set up with."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from midcourse.contract.base import Record
from midcourse.contract.commands import Action
from midcourse.contract.interval import Interval

if TYPE_CHECKING:
    from midcourse.checkpoints.store import CheckpointStore
    from midcourse.engine import Engine

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

Mode = Literal["min", "max"]

_IntervalText = Annotated[
    str,
    AfterValidator(lambda text: str(Interval.parse(text))),
    Field(json_schema_extra={"examples": ["1 step", "50 steps", "1 epoch"]}),
]


class Settings(Record):
    """What every kind of policy in a configuration has."""

    kind: str
    name: str | None = Field(default=None, pattern=NAME_PATTERN)
    """The policy acts as `policy:<name>`; null: the kind. No two policies have the same."""
    metric: str = Field(min_length=1, max_length=200)
    """The logged number that is watched, such as `train/loss`."""
    every: _IntervalText = "1 step"
    """Only what is logged at these steps is read. Reading waits for the device."""


class Policy(ABC):
    """A guard rail: watches one logged metric, and has the run give itself commands.

    `see` takes each value while its step is in progress and decides, by the values seen alone.
    `propose` is asked at the boundary of that step for the action. What a policy remembers is
    plain data in `state_dict`, a part of every checkpoint: so a run that was killed decides again
    what it decided before.
    """

    def __init__(self, metric: str, *, name: str, every: str = "1 step") -> None:
        """Set up what every policy has.

        Args:
            metric: the logged number to watch.
            name: it acts as `policy:<name>`.
            every: an interval; only what is logged at these steps is read.

        Raises:
            ValueError: the interval is none.
        """
        self.metric = metric
        self.name = name
        self.every = Interval.parse(every)

    @property
    def actor(self) -> str:
        """Who its commands are from."""
        return f"policy:{self.name}"

    @abstractmethod
    def see(self, step: int, value: float, run: "Engine") -> str | None:
        """Take a value of the step in progress.

        Args:
            step: which.
            value: finite or not.
            run: to be looked at, and not touched.

        Returns:
            Why to act at this step's boundary, for people; None to let the run go on.
        """

    @abstractmethod
    def propose(self, why: str, run: "Engine") -> tuple[Action, str] | None:
        """What to do at the boundary. A redo may leave it out, so nothing is remembered here.

        Args:
            why: as `see` said.
            run: to be looked at, and not touched.

        Returns:
            The action, and why, for people; None if there is nothing left to do.
        """

    def wanted_checkpoints(self, store: "CheckpointStore", run: "Engine") -> set[str]:
        """Those that retention must leave alone, as the policy may have to go back to one.

        Asked when a checkpoint has been written, on the writer's thread.
        """
        del store, run
        return set()

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What it has seen, as plain data of its own."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""


def shown(value: float) -> str:
    """A number for people."""
    return f"{value:.6g}"
