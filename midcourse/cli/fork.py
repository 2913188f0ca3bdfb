"""`fork`, `revert`, `replay`: runs that come from others. `RUN@best` names a checkpoint."""

from typing import Any

import click

from midcourse.cli.failing import NotYet
from midcourse.cli.options import (
    RUN,
    Common,
    asking,
    common,
    reason,
    run_argument,
    waiting,
    waiting_for_a_run,
)
from midcourse.cli.printing import show_record, value
from midcourse.cli.program import command_option, image_option
from midcourse.cli.receipts import tell_command
from midcourse.cli.set import CHANGE
from midcourse.cli.values import config_from, parse_changes
from midcourse.client.waiting import NOT_BEGUN
from midcourse.contract.api.branches import ForkPreview
from midcourse.contract.api.runs import RunView

changes_option = click.option(
    "--set",
    "changes",
    multiple=True,
    type=CHANGE,
    metavar="NAME=VALUE",
    help="A live parameter that it begins with; may be repeated.",
)
name_option = click.option("--name", metavar="NAME", help="What people call it.")


@click.command()
@click.argument("run", type=RUN, metavar="RUN[@CHECKPOINT]|SOURCE")
@changes_option
@click.option(
    "--config",
    "edits",
    multiple=True,
    metavar="PATH=VALUE",
    help="What differs in the configuration, such as model.hidden=64; may be repeated.",
)
@name_option
@image_option
@command_option
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@waiting_for_a_run
@reason
@common
def fork(
    said: Common,
    run: str,
    changes: tuple[str, ...],
    edits: tuple[str, ...],
    name: str | None,
    image: str | None,
    command: list[str] | None,
    dry_run: bool,
    wait: float | None,
    reason: str | None,
) -> None:
    """Make a new run from a checkpoint of another, which goes on as it is.

    What has a slash in it is in W&B, and need never have been here: a run, the artifact of its
    checkpoints, or the link of the page of either. It is fetched first.

    \b
      midcourse fork r7x --set optimizer.lr=0.01     from now; the latest if it has ended
      midcourse fork r7x@best --name careful
      midcourse fork r7x@step-500 --config model.hidden=64
      midcourse fork lab/digits/r7xk2m9qd@best --set optimizer.lr=0.01
      midcourse fork https://wandb.ai/lab/digits/runs/r7xk2m9qd
    """
    client = said.client
    wanted: dict[str, Any] = {
        "changes": parse_changes(changes),
        "config": config_from(parse_changes(edits)),
        "name": name,
    }
    if "/" in run:
        _refuse({"--dry-run": dry_run, "--reason": reason}, "runs that are here, not in W&B")
        wanted |= {"image": image, "command": command}
        tell_run(said, client.fork_from_wandb(run, wait=wait, **wanted), wait)
        return
    _refuse({"--image": image, "--command": command}, "W&B: others train as their parents do")
    source, _, checkpoint = run.partition("@")
    run_id = client.find(source)
    wanted["checkpoint"] = checkpoint or None
    if dry_run:
        _tell_preview(said, client.preview_fork(run_id, **wanted))
    else:
        tell_run(said, client.fork(run_id, reason=reason, wait=wait, **wanted), wait)


def _refuse(options: dict[str, Any], of_whom: str) -> None:
    for option, given in options.items():
        if given:
            raise click.UsageError(f"{option} is for forks of {of_whom}.")


@click.command()
@run_argument
@name_option
@waiting_for_a_run
@common
def replay(said: Common, run: str, name: str | None, wait: float | None) -> None:
    """Train a run once more, from its journal.

    A fresh run is fed the journal, applies each command at the step at which it acted, and ends
    with the same bits.
    """
    client = said.client
    tell_run(said, client.replay(client.find(run), name=name, wait=wait), wait)


@click.command()
@click.argument("run", type=RUN, metavar="RUN@CHECKPOINT")
@changes_option
@asking
@waiting
@common
def revert(
    said: Common, run: str, changes: tuple[str, ...], wait: float | None, **asked: Any
) -> None:
    """Go back to a checkpoint.

    A new run goes on from there in this one's process, and this one ends as superseded.
    `midcourse undo` finds the checkpoint by itself.

    \b
      midcourse revert r7x@best --set optimizer.lr=0.005 --reason "went wrong"
    """
    source, at, checkpoint = run.partition("@")
    if not at or not checkpoint:
        raise click.UsageError(
            f"Say where to: {source}@best, {source}@latest or {source}@step-500; "
            f"`midcourse checkpoints {source}` lists them."
        )
    client = said.client
    command = client.revert(
        client.find(source), checkpoint, changes=parse_changes(changes), wait=wait, **asked
    )
    tell_command(said, command, wait)


def tell_run(said: Common, run: RunView, wait: float | None) -> None:
    """Show a run that was just made.

    Raises:
        NotYet: it was waited for, and does not train so far.
    """
    if said.as_json:
        show_record(run)
    else:
        click.echo(_line(run))
    if wait is not None and run.status in NOT_BEGUN:
        why = f" {run.waits_for}" if run.waits_for else ""
        raise NotYet(f"{run.id} is {run.status} still, after {wait:g} seconds.{why}")


def _line(run: RunView) -> str:
    words = [run.id, str(run.status)]
    if run.origin is not None:
        awaited = run.source or f"{run.origin.run}@now"
        checkpoint = run.origin.checkpoint
        words.append(f"from {f'{run.origin.run}@{checkpoint}' if checkpoint else awaited}")
        words += [f"{name}={value(new)}" for name, new in run.origin.changes.items()]
    if run.replay is not None:
        words.append(f"replays {run.replay}")
    return " ".join([*words, *([f"({run.name})"] if run.name else [])])


def _tell_preview(said: Common, preview: ForkPreview) -> None:
    if said.as_json:
        show_record(preview)
        return
    origin = preview.origin
    differs = [f"{name}={value(new)}" for name, new in origin.changes.items()]
    kept = "; weights are kept where they fit" if origin.warm_start else ""
    click.echo(
        f"would fork {origin.run}@{origin.checkpoint or 'now'} "
        f"with {', '.join(differs) or 'no changes'}{kept}"
    )
