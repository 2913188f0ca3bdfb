"""`python -m midcourse.tracking.tensorboard`: write runs as event files, and show them."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from midcourse.contract.errors import MidcourseError
from midcourse.contract.paths import DEFAULT_HOME
from midcourse.tracking.home import HomeRun, choose

if TYPE_CHECKING:
    from midcourse.tracking.tensorboard.log_folder import LogFolder

LOOK_SECONDS: Final = 1.0
MISSING: Final = (
    "TensorBoard is not installed here: `pip install tensorboard` installs it; in a checkout of "
    "Midcourse, `make tensorboard` does all"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked, until SIGINT or SIGTERM.

    Returns:
        0; 1 with a sentence on standard error where something is wrong.
    """
    options = _parser().parse_args(arguments)
    if find_spec("tensorboard") is None:
        _tell(MISSING)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        return _show(options, ended)
    except MidcourseError as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"{error.filename or 'event files'}: {error.strerror or error}")
    return 1


def _show(options: argparse.Namespace, ended: threading.Event) -> int:
    from midcourse.tracking.tensorboard.log_folder import LogFolder, sole_writer

    home: Path = options.home
    chosen = choose(home, options.runs)
    find: Callable[[], list[HomeRun]] = (
        (lambda: chosen) if options.runs else lambda: choose(home, [])
    )
    folder = (options.logdir or home / "tensorboard").resolve()
    with ExitStack() as stack:
        stack.enter_context(sole_writer(folder))
        logs = LogFolder(folder, find, _tell)
        stack.callback(logs.close)
        logs.look()
        if not options.write_only:
            _serve(options, logs, ended, stack)
        else:
            _report(options, logs, None)
            if options.follow:
                _follow(logs, ended, lambda: None)
        return 1 if logs.failed else 0


def _serve(
    options: argparse.Namespace, logs: "LogFolder", ended: threading.Event, stack: ExitStack
) -> None:
    from midcourse.tracking.tensorboard.server import Server

    server = stack.enter_context(Server(logs.folder, options.host, options.port))
    server.wait_until_it_answers(ended, logs.look)
    if not ended.is_set():
        _report(options, logs, server.url)
    _follow(logs, ended, server.check)


def _follow(logs: "LogFolder", ended: threading.Event, check: Callable[[], None]) -> None:
    """Write what comes, until this process is asked to end."""
    while not ended.wait(LOOK_SECONDS):
        check()
        logs.look()


def _report(options: argparse.Namespace, logs: "LogFolder", url: str | None) -> None:
    """What was written, on standard output."""
    names = {run.id: name for run, name in logs.shown}
    if options.json:
        told = {"logdir": str(logs.folder), "url": url, "runs": names, "failed": logs.failed}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        runs = "1 run" if len(names) == 1 else f"{len(names)} runs"
        end = f"; TensorBoard shows them at {url} until Ctrl-C" if url else ""
        sys.stdout.write(f"{runs} of {options.home} in {logs.folder}{end}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m midcourse.tracking.tensorboard", description=__doc__
    )
    parser.add_argument("runs", nargs="*", help="ids, names or run folders; all without any")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the folder of all runs")
    parser.add_argument("--logdir", type=Path, help="where to write; <home>/tensorboard without it")
    parser.add_argument("--host", default="127.0.0.1", help="where TensorBoard listens")
    parser.add_argument("--port", type=int, default=6006, help="0: any that is free")
    parser.add_argument("--write-only", action="store_true", help="write, and start no TensorBoard")
    parser.add_argument("--follow", action="store_true", help="with --write-only: until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="say in JSON what was written")
    return parser


def _tell(sentence: str) -> None:
    sys.stderr.write(f"midcourse: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
