"""`python -m trainer params.json`: parse, build, run, close.

Exit codes: 0 the run finished, or was stopped or suspended; 1 it failed; 2 its configuration
cannot be used and nothing was started; 75 another process is training the run; 143 or 130 it was
interrupted, and goes on when it is started again.
"""

import argparse
import atexit
import importlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import midcourse
from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import Fault, InvalidInput, MidcourseError
from midcourse.contract.names import Metric
from midcourse.contract.runs import RunStatus
from midcourse.errors import PlaceLost, RunBusy
from midcourse.replay.file import JournalFile
from midcourse.replay.finding import find_journal
from trainer.build import Task, build
from trainer.config import Config
from trainer.configure import REGISTRIES, configure, json_schema
from trainer.files import read_params
from trainer.loop import train
from trainer.tasks import AUGMENTATIONS

BUSY = 75
"""Another process trains the run; it may be over soon (`EX_TEMPFAIL` of sysexits.h)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; the exit code."""
    parser = command_line()
    options = parser.parse_args(arguments)
    try:
        for module in options.imports:
            import_module(module)
        if options.schema:
            print(json.dumps(json_schema(), indent=2))  # noqa: T201
            return 0
        if options.list:
            print(listing())  # noqa: T201
            return 0
        environment = TrainerEnvironment.read()
        source: str | None = options.replay or environment.replay
        replay: JournalFile | str | None = source
        if options.params is not None:
            raw = read_params(options.params)
        elif source is not None:
            replay = find_journal(source, environment.home, options.run_id or environment.run_id)
            raw = replay.header.config
        else:
            parser.error("which configuration? Give a .json or .yaml file; {} in it is enough")
        config = configure(raw)
        task = build(config, environment.home / "data")
        session = midcourse.start(
            config.experiment,
            config.model_dump(mode="json"),
            seed=config.seed,
            checkpoint_every=config.train.checkpoint_every,
            best=(Metric.TEST_ACCURACY, "max"),
            run_id=options.run_id,
            replay=replay,
            policies=[policy.model_dump() for policy in config.policies],
        )
    except (PlaceLost, RunBusy) as error:
        tell(error)
        return BUSY
    except MidcourseError as error:
        tell(error)
        return 2
    return run(session, task, config)


def run(session: midcourse.Session, task: Task, config: Config) -> int:
    """Train; the exit code."""
    say(f"Run {session.id} of {session.experiment}, in {session.paths.folder}")
    try:
        with session:
            final = train(session, task, config, tell=say)
            worst_class, worst_accuracy = final.worst_class
            session.summary(
                test_accuracy=final.scores.accuracy,
                test_loss=final.loss,
                worst_class=worst_class,
                worst_class_accuracy=worst_accuracy,
            )
    except midcourse.Interrupted:
        word = "Suspended" if session.status is RunStatus.SUSPENDED else "Interrupted"
        say(f"{word}; go on with: --run-id {session.id}")
        raise
    except MidcourseError as error:
        tell(error)
        return 1
    say(f"Run {session.id} {session.status.value}: {final.in_words()}; worst class {worst_class}")
    if session.tracking is not None:
        say(f"W&B {session.tracking.mode}: {session.tracking.url or session.tracking.folder}")
    return 0


def say(line: str) -> None:
    """Show a person a line."""
    print(line, flush=True)  # noqa: T201


def tell(error: MidcourseError) -> None:
    """Say what is wrong on standard error, each fault on a line of its own."""
    for line in error.faults if isinstance(error, InvalidInput) else [error]:
        print(line, file=sys.stderr)  # noqa: T201


def command_line() -> argparse.ArgumentParser:
    """What may be said."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description="Train an image classifier, steerably."
    )
    parser.add_argument("params", nargs="?", type=Path, help="configuration, JSON or YAML")
    parser.add_argument("--run-id", help="start this run, or continue it where it has begun")
    parser.add_argument(
        "--replay",
        metavar="SOURCE",
        help="repeat the commands of a journal, each at its step: that of a run in this home (its "
        "id), of a file, or of W&B (wandb:journal-<run id>). The configuration is the journal's, "
        "and need not be given",
    )
    parser.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module that registers data sets, models, … of your own; may be repeated",
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema and end")
    parser.add_argument("--list", action="store_true", help="print what is registered and end")
    return parser


def import_module(name: str) -> None:
    """Import a user's module, for what it registers.

    Raises:
        InvalidInput: there is none of this name.
    """
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it imports is not
        message = f"there is no module {name!r} in the working directory or on PYTHONPATH"
        raise InvalidInput([Fault(path="--import", message=message)]) from None


def listing() -> str:
    """Everything that is registered, a line each."""
    lines = []
    for title, registry in [*REGISTRIES.items(), ("data.augmentation", AUGMENTATIONS)]:
        lines.append(f"{title}:")
        for name in registry.names():
            entry = registry.entry(name)
            options = ", ".join(entry.options.model_fields)
            lines.append(f"  {name:32} {entry.summary}" + (f" [{options}]" if options else ""))
    return "\n".join(lines)


def leave(code: int) -> NoReturn:
    """End the process, all of whose work is done.

    Python takes torch and its hundred thousands of objects down one by one, which lasts seconds on
    a busy machine; `docker stop` gives ten for everything.
    """
    for thread in threading.enumerate():  # as Python does it: other threads, then exit handlers
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        status = main()
    except SystemExit as ended:  # an interrupted training, or a wrong command line
        if not isinstance(ended.code, int):
            raise
        status = ended.code
    leave(status)
