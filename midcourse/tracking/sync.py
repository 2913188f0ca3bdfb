"""`python -m midcourse.tracking.sync`: send what is missing of runs in W&B, one after the other.

Each run is sent by a process of its own, `python -m midcourse.tracking <run folder>`, which asks
the server how far it came. So it can end at any time, and the next time goes on from there.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from midcourse.contract.errors import MidcourseError
from midcourse.contract.paths import DEFAULT_HOME
from midcourse.tracking.home import choose
from midcourse.tracking.sending import Outcome, Sender
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.supervisor import tracker_environment
from midcourse.tracking.sync_report import Report
from midcourse.tracking.unsent import Backlog, Sending, in_order, look

EXIT_LEFT: Final = 1
EXIT_NO_KEY: Final = 4
EXIT_INTERRUPTED: Final = 130
NO_KEY: Final = (
    "there is no W&B key to send with: set WANDB_API_KEY, or WANDB_API_KEY_FILE "
    "(https://wandb.ai/authorize has yours)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Send what is chosen.

    Returns:
        0 when all of it is there; 1 when something is left; 4 without a key; 130 after SIGINT.
    """
    options = _parser().parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        return sync(options, os.environ, ended)
    except MidcourseError as error:
        sys.stderr.write(f"midcourse: {error}\n")
        return EXIT_LEFT


def sync(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    ended: threading.Event,
    command: Sequence[str] | None = None,
) -> int:
    """Choose, send, and say how it went.

    Args:
        options: as `_parser` reads them.
        environ: where the key and the project are looked for; what sends a run inherits it.
        ended: set when it is to end; what is being sent is left as it is.
        command: what sends one run, instead of `midcourse.tracking`; for tests.

    Raises:
        NoSuchRun: a word names no run, or several.
    """
    # Whatever trainers are told, online is what is asked for: with a key it is so without the mode,
    # whose own sentence about a missing key would be one too many.
    environ = {name: value for name, value in environ.items() if name != "WANDB_MODE"}
    settings = TrackingSettings.read(environ)
    report = Report(as_json=options.json, redact=settings.redact)
    runs = in_order(choose(options.home, options.runs))
    backlogs = [look(run, settings.base_url) for run in runs]
    due, others = _split(backlogs, named=bool(options.runs), everything=options.all)
    if options.dry_run:
        report.plan(due, others)
        return 0
    if due and settings.mode is not TrackingMode.ONLINE:
        why = f". {settings.error}" if settings.error else ""
        sys.stderr.write(f"midcourse: {NO_KEY}{why}\n")
        return EXIT_NO_KEY
    for backlog in others:
        report.passed_by(backlog, named=bool(options.runs))
    sender = Sender(
        {**tracker_environment(environ), "WANDB_MODE": TrackingMode.ONLINE.value}, ended, command
    )
    outcomes = _send(due, sender, report, ended)
    report.end(outcomes)
    if ended.is_set():
        return EXIT_INTERRUPTED
    return 0 if all(outcome.is_sent for outcome in outcomes) else EXIT_LEFT


def _split(
    backlogs: Sequence[Backlog], *, named: bool, everything: bool
) -> tuple[list[Backlog], list[Backlog]]:
    """What is to be sent, and what is not. Who names a run, or all, has the server asked again."""
    wanted = {Sending.DUE}
    if named or everything:
        wanted |= {Sending.SENT, Sending.DISABLED}
    due = [backlog for backlog in backlogs if backlog.sending in wanted]
    return due, [backlog for backlog in backlogs if backlog.sending not in wanted]


def _send(
    due: Sequence[Backlog], sender: Sender, report: Report, ended: threading.Event
) -> list[Outcome]:
    outcomes = []
    for number, backlog in enumerate(due, start=1):
        if ended.is_set():
            outcomes.append(Outcome.not_begun(backlog))
            continue
        report.begins(backlog, number, len(due))
        shown: Callable[[Backlog], None] = report.progress
        outcome = sender.send(backlog.run, shown)
        report.ends(outcome)
        outcomes.append(outcome)
    return outcomes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m midcourse.tracking.sync", description=__doc__)
    parser.add_argument(
        "runs", nargs="*", help="ids, names or folders; without any, all that are not all there"
    )
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the folder of all runs")
    parser.add_argument("--all", action="store_true", help="ask about those that were sent, too")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    parser.add_argument(
        "--json", action="store_true", help="an object for each run, and a last one"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
