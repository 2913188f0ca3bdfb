"""`python -m midcourse.tracking <run folder>`: show a run in W&B.

The session starts one beside every run. By hand, it sends what an earlier one could not.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from midcourse.background import make_way
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Started
from midcourse.errors import PlaceLost
from midcourse.fence import Fence
from midcourse.tracking.home import is_held
from midcourse.tracking.lock import AnotherTracker, sole_tracker
from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.status import StatusBoard, read_status
from midcourse.tracking.supervisor import EXIT_ANOTHER, EXIT_BEHIND, EXIT_FAILED
from midcourse.tracking.tracker import NullTracker, Tracker
from midcourse.tracking.unsent import is_told_of
from midcourse.tracking.work import Work

logger = logging.getLogger("midcourse.tracking")


def main(arguments: Sequence[str] | None = None) -> int:
    """Track one run; the exit status says how it went (see `supervisor`)."""
    options = _parser().parse_args(arguments)
    folder = options.folder.resolve()
    if not folder.is_dir():
        sys.stderr.write(f"There is no run folder {folder}.\n")
        return 2
    paths = RunPaths(folder.parent.parent, folder.name)
    settings = TrackingSettings.read()
    _log_without_key(settings)
    make_way()
    trainers = Fence(paths.fence, options.attempt) if options.attempt else None
    try:
        with sole_tracker(paths, lambda: _is_parent(options.parent)):
            if trainers is not None:
                trainers.check()
            return _track(options, paths, settings, Fence.take(paths.tracking / "fence", 0))
    except (AnotherTracker, PlaceLost) as error:
        logger.error("%s", error)
        return EXIT_ANOTHER


def _track(
    options: argparse.Namespace, paths: RunPaths, settings: TrackingSettings, fence: Fence
) -> int:
    if options.parent is None and not options.again and _is_done(paths, settings):
        logger.info("everything in the log has been sent; there is nothing to do")
        return 0
    board = StatusBoard(paths, settings.mode.value)
    board.show()
    if settings.error:
        _note(board, settings, settings.error)
    asked_to_end = threading.Event()
    _end_on_signals(asked_to_end, has_trainer=options.parent is not None)
    try:
        work = Work(
            paths,
            board,
            open_tracker=_opener(options, paths, settings, board),
            could_be_online=lambda: _server_answers(settings),
            wants_online=settings.mode is TrackingMode.ONLINE,
            trainer_is_alive=lambda: _is_parent(options.parent),
            run_is_live=lambda: is_held(paths.lock),
            give_up=lambda: _give_up(board),
            start_over=lambda: os._exit(EXIT_FAILED),  # the trainer's session starts another
            begin=options.begin,
            asked_to_end=asked_to_end,
            fence=fence,
            finish_seconds=options.finish_seconds,
        )
        return 0 if work.run() else EXIT_BEHIND
    except PlaceLost as error:
        logger.error("another tracker of the run is at work: %s", error)
        logging.shutdown()
        os._exit(EXIT_ANOTHER)  # not even the SDK's own goodbye: the run there is the other's
    except Exception as error:
        logger.exception("the tracker failed")
        _note(board, settings, f"the tracker failed: {type(error).__name__}: {error}")
        board.show(state="failed")
        return EXIT_FAILED


def _opener(
    options: argparse.Namespace, paths: RunPaths, settings: TrackingSettings, board: StatusBoard
) -> Callable[[Started], Tracker]:
    if settings.mode is TrackingMode.DISABLED:
        return lambda _: NullTracker()
    from midcourse.tracking import wandb_open  # costs a second of CPU, and it may be missing

    opening = wandb_open.Opening(
        settings,
        paths,
        wandb_open.Trainer(options.parent or os.getpid(), options.program),
        note=lambda text: _note(board, settings, text),
        on_stop=lambda: _wish_to_stop(paths),
    )

    def open_tracker(started: Started) -> Tracker:
        tracker = opening.open(started)
        board.show(
            mode="online" if tracker.online else "offline",
            url=tracker.url,
            server=settings.base_url if tracker.online else None,
            folder=None if tracker.online else str(tracker.files),
            fork=tracker.fork,
        )
        return tracker

    return open_tracker


def _server_answers(settings: TrackingSettings) -> bool:
    from midcourse.tracking import wandb_remote

    return wandb_remote.answers(settings, settings.base_url)


def _wish_to_stop(paths: RunPaths) -> None:
    """The trainer looks for this file."""
    logger.info("the Stop button of the run's page was pressed")
    paths.stop_wish.touch()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m midcourse.tracking", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's folder, <home>/runs/<run id>")
    parser.add_argument("--parent", type=int, help="the trainer's process id, when it starts this")
    parser.add_argument(
        "--begin", type=int, default=0, help="the log's size at the trainer's start"
    )
    parser.add_argument(
        "--attempt", help="the name of the trainer's claim to the run, when it starts this"
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="look again at what seems to be sent: a fork may have "
        "come that uses a checkpoint of this run",
    )
    parser.add_argument("--program", default="midcourse", help="the trainer's program, for W&B")
    parser.add_argument(
        "--finish-seconds", type=float, default=600.0, help="the most that finishing may take"
    )
    return parser


def _is_parent(pid: int | None) -> bool:
    """Whether the trainer that started this process still lives: orphans get another parent."""
    return pid is not None and os.getppid() == pid


def _is_done(paths: RunPaths, settings: TrackingSettings) -> bool:
    status = read_status(paths)
    return (
        status is not None
        and status.state == "finished"
        and status.mode == settings.mode.value
        and is_told_of(status, settings.base_url)
        and paths.run_log.exists()
        and status.log_offset == paths.run_log.stat().st_size
    )


def _note(board: StatusBoard, settings: TrackingSettings, sentence: str) -> None:
    clean = settings.redact(sentence)
    logger.warning("%s", clean)
    board.note(clean)


def _give_up(board: StatusBoard) -> None:
    board.note(
        "W&B did not take everything in time; `python -m midcourse.tracking <run folder>` sends "
        "the rest from the run log"
    )
    board.show(state="behind")
    os._exit(EXIT_BEHIND)  # the main thread hangs in the SDK


def _end_on_signals(asked_to_end: threading.Event, *, has_trainer: bool) -> None:
    """Ask twice to end at once. Once: drain and end, or, beside a trainer, wait for its last word.

    Service managers signal a trainer and its tracker together, and the trainer has more to say.
    """

    def handle(number: int, frame: object) -> None:  # noqa: ARG001
        signal.signal(number, signal.SIG_DFL)
        if not has_trainer:
            asked_to_end.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


class _Redacting(logging.Formatter):
    def __init__(self, settings: TrackingSettings) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        return self._settings.redact(super().format(record))


def _log_without_key(settings: TrackingSettings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacting(settings))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())
