"""Options that many commands share, and the client that they act through."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from midcourse.client import Client

F = TypeVar("F", bound=Callable[..., Any])

WAIT_SECONDS = 10.0
"""How long a command waits for its receipt, where nothing else is said."""
START_SECONDS = 60.0
"""The same for a run that is to train: its program loads torch first."""
RETRIES = 2
"""Of a command line: people see for themselves, and try again."""


@dataclass
class Common:
    """What was said to `midcourse` itself, or with the command."""

    url: str | None = None
    as_json: bool = False
    debug: bool = False

    @functools.cached_property
    def client(self) -> Client:
        """The client, made when it is first needed."""
        return Client(self.url, retries=RETRIES)


def common(function: F) -> F:
    """`--json`, `--url` and `--debug`, before the command or after it; the first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
    @click.option("--url", metavar="URL", help="The control API, where it is not the default.")
    @click.option("--debug", is_flag=True, help="Show where an error came from.")
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, url: str | None, debug: bool, **more: Any) -> Any:
        before = click.get_current_context().find_object(dict) or {}
        said = Common(
            url=url or before.get("url"),
            as_json=as_json or before.get("as_json", False),
            debug=debug or before.get("debug", False),
        )
        return function(said, *args, **more)

    return wrapped  # type: ignore[return-value]


def waiting(function: F) -> F:
    """`--wait/--no-wait` and `--timeout`, as the one argument `wait`: seconds, or None."""

    @click.option(
        "--wait/--no-wait",
        "waits",
        default=None,
        help="Wait for the receipt, or do not. Without either: wait, unless it is for later.",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help=f"How long to wait; {WAIT_SECONDS:g} seconds without it.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, waits: bool | None, timeout: float | None, **more: Any) -> Any:
        later = more.get("at") is not None
        if waits is None:
            waits = timeout is not None or not later
        return function(*args, wait=(timeout or WAIT_SECONDS) if waits else None, **more)

    return wrapped  # type: ignore[return-value]


def waiting_for_a_run(function: F) -> F:
    """`--wait` and `--timeout` of what makes a run, as the one argument `wait`."""

    @click.option("--wait", "waits", is_flag=True, help="Wait until it trains, or will not.")
    @click.option(
        "--timeout",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help=f"How long to wait; {START_SECONDS:g} seconds without it.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, waits: bool, timeout: float | None, **more: Any) -> Any:
        seconds = (timeout or START_SECONDS) if waits or timeout else None
        return function(*args, wait=seconds, **more)

    return wrapped  # type: ignore[return-value]


def asking(function: F) -> F:
    """`--reason`, `--at-step`, `--at-epoch`, `--dry-run`; `at` is one argument."""

    @click.option("--reason", metavar="TEXT", help="Why; kept with the command.")
    @click.option(
        "--at-step", type=click.IntRange(min=0), metavar="N", help="Act once step N is complete."
    )
    @click.option(
        "--at-epoch", type=click.IntRange(min=0), metavar="N", help="Act once epoch N is complete."
    )
    @click.option("--dry-run", is_flag=True, help="Only ask what it would do.")
    @functools.wraps(function)
    def wrapped(*args: Any, at_step: int | None, at_epoch: int | None, **more: Any) -> Any:
        if at_step is not None and at_epoch is not None:
            raise click.UsageError("Give --at-step or --at-epoch, not both.")
        at = f"step:{at_step}" if at_step is not None else None
        at = f"epoch:{at_epoch}" if at_epoch is not None else at
        return function(*args, at=at, **more)

    return wrapped  # type: ignore[return-value]


def reason(function: F) -> F:
    """`--reason` alone."""
    return click.option("--reason", metavar="TEXT", help="Why; kept with the command.")(function)


class RunName(click.ParamType):  # type: ignore[type-arg]
    """A run, by its id, the beginning of it, or its name; the shell completes ids."""

    name = "run"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem[Any]]":
        """Ids and names that begin so, the newest first; none while the API is away."""
        from midcourse.cli.completing import complete_runs

        return complete_runs(ctx, incomplete)


RUN = RunName()


def home_option(function: F) -> F:
    """`--home`, as the argument `home`."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False),
        help="The folder of all runs; MIDCOURSE_HOME, or .midcourse, without it.",
    )(function)


def run_argument(function: F) -> F:
    """The argument RUN."""
    return click.argument("run", type=RUN, metavar="RUN")(function)
