"""`note`, `tag`, `rename`, `prioritise`, `archive`, `unarchive`: what people keep of a run."""

import click
from pydantic import JsonValue

from midcourse.cli.options import RUN, Common, common, run_argument
from midcourse.cli.printing import show_record
from midcourse.contract.api.runs import RunView


@click.command()
@run_argument
@click.argument("text", required=False)
@click.option("--append", is_flag=True, help="Add it below what is written already.")
@click.option("--clear", is_flag=True, help="Take the notes away.")
@common
def note(said: Common, run: str, text: str | None, append: bool, clear: bool) -> None:
    """Write down something about a run; without TEXT, show what is written."""
    client = said.client
    run_id = client.find(run)
    if clear and (text is not None or append):
        raise click.UsageError("--clear stands alone.")
    if text is None and append:
        raise click.UsageError("--append needs a text.")
    before = client.run(run_id) if text is None or append else None
    if text is None and not clear:
        assert before is not None
        _tell(said, before, before.notes or "")
        return
    if append and before is not None and before.notes:
        text = f"{before.notes.rstrip()}\n{text}"
    _tell(said, client.edit(run_id, notes=text), "" if clear else "noted")


@click.command()
@run_argument
@click.argument("tags", nargs=-1, metavar="[TAG...]")
@click.option("--remove", is_flag=True, help="Take these tags away.")
@common
def tag(said: Common, run: str, tags: tuple[str, ...], remove: bool) -> None:
    """Give a run tags, or take them away; without TAG, show them."""
    client = said.client
    found = client.run(client.find(run))
    if tags:
        kept = [one for one in found.tags if one not in tags]
        wanted: list[JsonValue] = [*kept, *([] if remove else dict.fromkeys(tags))]
        found = client.edit(found.id, tags=wanted)
    _tell(said, found, ", ".join(found.tags))


@click.command()
@run_argument
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Take its name away.")
@common
def rename(said: Common, run: str, name: str | None, clear: bool) -> None:
    """Give a run another name."""
    if (name is None) != clear:
        raise click.UsageError("Give a name, or --clear.")
    client = said.client
    found = client.edit(client.find(run), name=name)
    _tell(said, found, found.name or "has no name now")


@click.command()
@run_argument
@click.argument("priority", type=int)
@common
def prioritise(said: Common, run: str, priority: int) -> None:
    """Move a run in the queue: the highest PRIORITY starts first, then the oldest.

    0 is usual; for a number below it, write -- before it.
    """
    client = said.client
    found = client.edit(client.find(run), priority=priority)
    _tell(said, found, f"priority {found.priority}")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@common
def archive(said: Common, runs: tuple[str, ...]) -> None:
    """Put runs out of sight. Nothing of them goes; `midcourse runs --archived` lists them."""
    client = said.client
    for run_id in [client.find(run) for run in runs]:
        _tell(said, client.edit(run_id, archived=True), "archived")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@common
def unarchive(said: Common, runs: tuple[str, ...]) -> None:
    """Put archived runs back in sight."""
    client = said.client
    for run_id in [client.find(run) for run in runs]:
        _tell(said, client.edit(run_id, archived=False), "in sight")


def _tell(said: Common, run: RunView, words: str) -> None:
    if said.as_json:
        show_record(run)
    else:
        click.echo(f"{run.id}: {words}" if words else f"{run.id}: nothing is written")
