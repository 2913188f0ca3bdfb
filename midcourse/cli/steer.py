"""`pause`, `resume`, `suspend`, `stop`, `undo`, `checkpoint`, `reinitialise`."""

from typing import Any

import click

from midcourse.cli.options import Common, asking, common, run_argument, waiting
from midcourse.cli.receipts import tell_command


@click.command()
@run_argument
@asking
@waiting
@common
def pause(said: Common, run: str, wait: float | None, **asked: Any) -> None:
    """Hold a run at its next step boundary.

    It keeps its device and takes commands; what is changed meanwhile acts before the next step.
    """
    client = said.client
    tell_command(said, client.pause(client.find(run), wait=wait, **asked), wait)


@click.command()
@run_argument
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="For N steps, then pause.")
@asking
@waiting
@common
def resume(said: Common, run: str, steps: int | None, wait: float | None, **asked: Any) -> None:
    """Let a paused run go on, or a suspended one come back bit for bit.

    With --steps it may be running, too: N steps more, then it pauses.
    """
    client = said.client
    tell_command(said, client.resume(client.find(run), steps=steps, wait=wait, **asked), wait)


@click.command()
@run_argument
@asking
@waiting
@common
def suspend(said: Common, run: str, wait: float | None, **asked: Any) -> None:
    """Write a checkpoint, end the run's process and free its slot.

    `midcourse resume` puts it back into the queue; it goes on bit for bit.
    """
    client = said.client
    tell_command(said, client.suspend(client.find(run), wait=wait, **asked), wait)


@click.command()
@run_argument
@asking
@waiting
@common
def stop(said: Common, run: str, wait: float | None, **asked: Any) -> None:
    """Write a checkpoint, then end a run for good. It can still be forked."""
    client = said.client
    tell_command(said, client.stop(client.find(run), wait=wait, **asked), wait)


@click.command()
@run_argument
@asking
@waiting
@common
def checkpoint(said: Common, run: str, wait: float | None, **asked: Any) -> None:
    """Write a checkpoint at the next step boundary and keep it, whatever the retention says."""
    client = said.client
    tell_command(said, client.checkpoint(client.find(run), wait=wait, **asked), wait)


@click.command()
@run_argument
@asking
@waiting
@common
def undo(said: Common, run: str, wait: float | None, **asked: Any) -> None:
    """Go back to before the last change.

    A new run goes on from there in the same process, and the receipt names it; this one ends as
    superseded, so nothing is hidden.
    """
    client = said.client
    tell_command(said, client.undo(client.find(run), wait=wait, **asked), wait)


@click.command()
@run_argument
@click.argument("layers", nargs=-1, required=True, metavar="LAYER...")
@asking
@waiting
@common
def reinitialise(
    said: Common, run: str, layers: tuple[str, ...], wait: float | None, **asked: Any
) -> None:
    """Give layers fresh weights. They are named as in the model, or by patterns: 'features.*'."""
    client = said.client
    tell_command(said, client.reinitialise(client.find(run), layers, wait=wait, **asked), wait)
