"""Options that say which runs are meant."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from midcourse.contract.runs import RunStatus

F = TypeVar("F", bound=Callable[..., Any])


def filters(function: F) -> F:
    """`--status`, `--experiment`, `--tag`, `--sweep`, `--parent`, `--where`, `--archived`.

    Each is an argument of its name, None where it was not given.
    """

    @click.option(
        "--status",
        metavar="STATUS",
        help=f"With commas between: {', '.join(RunStatus)}.",
    )
    @click.option("--experiment", metavar="NAME", help="Of this experiment.")
    @click.option("--tag", metavar="TAG", help="With this tag.")
    @click.option("--sweep", metavar="ID", help="Of this sweep.")
    @click.option("--parent", metavar="ID", help="That come from this run.")
    @click.option(
        "--where",
        metavar="CONDITIONS",
        help="With commas between, such as 'metrics.test/accuracy>=0.9,config.optimizer.name=sgd'.",
    )
    @click.option("--archived", is_flag=True, help="Those that are out of sight, instead.")
    @click.option("--all", "everything", is_flag=True, help="Archived or not.")
    @functools.wraps(function)
    def wrapped(*args: Any, archived: bool, everything: bool, **more: Any) -> Any:
        which = "any" if everything else "true" if archived else None
        return function(*args, archived=which, **more)

    return wrapped  # type: ignore[return-value]
