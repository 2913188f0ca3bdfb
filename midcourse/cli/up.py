"""`midcourse up`: what `make up` does, once installed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from midcourse.contract import environment
from midcourse.contract.errors import MidcourseError

CONTROL_API = "control_api"


class NotInstalled(MidcourseError):
    """The control API is not there; the text says how to get it."""


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False), required=False)
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens; 8080 without it.")
@click.option(
    "--home",
    type=click.Path(file_okay=False),
    help="The folder of all runs; .midcourse without it.",
)
@click.option("--exit", "ends", is_flag=True, help="End with the run; 0 only if it succeeded.")
def up(config: str | None, port: int | None, home: str | None, ends: bool) -> None:
    """Start the control API here and train CONFIG, or handwritten digits, and show it live.

    It serves until Ctrl-C; a run that is still training then trains on by itself. `midcourse` in
    another terminal finds it without a login.
    """
    # The control API is found and started, and never imported: it is a program of its own.
    if find_spec(CONTROL_API) is None:
        raise NotInstalled(
            "The control API is not installed here: it runs from a checkout of Midcourse. There, "
            "`make up` installs and starts it; `midcourse login URL` goes to one that runs "
            "elsewhere."
        )
    told = {
        "CONFIG": str(Path(config).absolute()) if config else None,
        "PORT": str(port) if port else None,
        environment.HOME: str(Path(home).absolute()) if home else None,
        "EXIT": "1" if ends else None,
    }
    variables = {name: value for name, value in told.items() if value is not None}
    sys.stdout.flush()
    # In this process's place, so that Ctrl-C and SIGTERM go to it and its exit code is ours.
    os.execve(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", f"{CONTROL_API}.up"],
        {**os.environ, **variables},
    )
