"""What a sync tells, for people or for programs."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from midcourse.tracking.sending import Outcome
from midcourse.tracking.unsent import Backlog, Sending

_WHY_NOT = {
    Sending.SENT: "is all there",
    Sending.DISABLED: "is not tracked (WANDB_MODE=disabled); name it, and it is sent",
    Sending.BUSY: "is trained, or its own tracker is at work: that one sends it",
    Sending.EMPTY: "has logged nothing yet",
}


class Report:
    """Writes to standard output; a line that moves only where it is a terminal."""

    def __init__(self, *, as_json: bool, redact: Callable[[str], str]) -> None:
        """Nothing is told yet.

        Args:
            as_json: an object a line, in place of sentences.
            redact: takes secrets out of a sentence.
        """
        self._as_json = as_json
        self._redact = redact
        self._moves = sys.stdout.isatty() and not as_json
        self._moving = False

    def plan(self, due: Sequence[Backlog], others: Sequence[Backlog]) -> None:
        """What would be sent, and what would not."""
        for backlog in [*due, *others]:
            sent = backlog in due
            if self._as_json:
                self._json({**_told(backlog), "would_send": sent})
            elif sent:
                self._line(f"{_name(backlog)} would be sent: {left(backlog)}")
            else:
                self._line(f"{_name(backlog)} {_WHY_NOT[backlog.sending]}")
        if not self._as_json:
            self._line(f"{_runs(len(due))} would be sent")

    def passed_by(self, backlog: Backlog, *, named: bool) -> None:
        """What is not sent; what needs no sending is only told of where it was asked for."""
        if backlog.sending is not Sending.BUSY and not named:
            return
        if self._as_json:
            self._json({**_told(backlog), "sent": backlog.sending is Sending.SENT})
        else:
            self._line(f"{_name(backlog)} {_WHY_NOT[backlog.sending]}")

    def begins(self, backlog: Backlog, number: int, count: int) -> None:
        """A run is about to be sent."""
        if not self._as_json:
            self._line(f"{_name(backlog)} ({number} of {count}): {left(backlog)}")

    def progress(self, backlog: Backlog) -> None:
        """How far it is."""
        if self._moves:
            sys.stdout.write(f"\r\x1b[K  {left(backlog)}")
            sys.stdout.flush()
            self._moving = True

    def ends(self, outcome: Outcome) -> None:
        """What came of it."""
        backlog, why = outcome.backlog, self._redact(outcome.why or "")
        if self._as_json:
            self._json({**_told(backlog), "sent": outcome.is_sent, "why": why or None})
        elif outcome.is_sent:
            url = backlog.status.url if backlog.status else None
            self._line(f"  all there{f': {url}' if url else ''}")
        else:
            self._line(f"  not all there, {left(backlog)}: {why}")

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """How it went in all."""
        behind = [outcome.backlog for outcome in outcomes if not outcome.is_sent]
        sent = len(outcomes) - len(behind)
        if self._as_json:
            size = sum(backlog.bytes_left for backlog in behind)
            self._json({"sent": sent, "left": len(behind), "bytes_left": size})
        elif not outcomes:
            self._line("nothing is left to be sent")
        elif behind:
            names = ", ".join(backlog.run.id for backlog in behind)
            self._line(f"{_runs(sent)} sent; {_runs(len(behind))} left: {names}")
        else:
            self._line(f"{_runs(sent)} sent; nothing is left")

    def _line(self, sentence: str) -> None:
        if self._moving:
            sys.stdout.write("\r\x1b[K")
            self._moving = False
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()

    def _json(self, value: Any) -> None:
        self._line(json.dumps(value))


def left(backlog: Backlog) -> str:
    """What is left to be sent, in the unit that is known."""
    if backlog.rows_left is not None:
        rows = f"{backlog.rows_left:,} row{'' if backlog.rows_left == 1 else 's'} left"
        return rows if not backlog.bytes_left else f"{rows} and {_size(backlog.bytes_left)} of log"
    if not backlog.bytes_left:
        return "its log was handed on, and it is not known what arrived"
    return f"{_size(backlog.bytes_left)} of log left"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _name(backlog: Backlog) -> str:
    run = backlog.run.run
    return f"{run.id} ({run.name})" if run.name else run.id


def _told(backlog: Backlog) -> dict[str, Any]:
    status = backlog.status
    return {
        "run": backlog.run.id,
        "state": backlog.sending.value,
        "left": backlog.rows_left,
        "bytes_left": backlog.bytes_left,
        "url": None if status is None else status.url,
    }
