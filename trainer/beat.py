"""When a schedule steps: asked at each step, as the schedule may be swapped while it trains."""

from midcourse import Session
from midcourse.catalogue.schedulers import EVALUATED, STEP_EVERY, STEP_EVERY_DEFAULT
from midcourse.contract.interval import Interval


def beat_of(name: str | None, wanted: str | None) -> str | None:
    """The interval at which a schedule steps; None for one that steps at each evaluation.

    Args:
        name: of the schedule, as registered; None for one that is not.
        wanted: the interval that was set, or None for the schedule's own.
    """
    if name in EVALUATED:
        return None
    return wanted or STEP_EVERY.get(name or "", STEP_EVERY_DEFAULT)


def beats_left(run: Session, beat: str) -> int:
    """How often an interval will still be completed until the training ends, at least once.

    Args:
        run: at a step boundary.
        beat: the interval.
    """
    every = Interval.parse(beat)
    if every.unit == "steps":
        end, done = run.total_steps or 0, run.current_step
    else:
        end, done = run.epochs, run.epoch + run.is_epoch_end
    return max(end // every.count - done // every.count, 1)
