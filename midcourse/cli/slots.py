"""`slots` and `queue`: who trains where, and who waits."""

import click

from midcourse.cli.options import Common, common
from midcourse.cli.printing import ago, show_json, show_record, show_table


@click.command()
@common
def slots(said: Common) -> None:
    """The slots, and the run that has each.

    A paused run keeps its slot, a suspended one does not. `midcourse queue` has those that wait.
    """
    found = said.client.slots()
    if said.as_json:
        show_record(found)
        return
    rows = [
        [
            slot.name,
            slot.run or "free",
            str(slot.status or ""),
            "" if slot.offered else "no longer offered",
        ]
        for slot in found.slots
    ]
    show_table(("SLOT", "RUN", "STATUS", ""), rows)
    _tell_notice(found.notice)
    if found.queue:
        waiting = "1 run waits" if len(found.queue) == 1 else f"{len(found.queue)} runs wait"
        click.echo(f"{waiting}; `midcourse queue` has them.", err=True)


@click.command()
@common
def queue(said: Common) -> None:
    """The runs that wait for a slot, in the order in which they will start."""
    found = said.client.slots()
    if said.as_json:
        show_json({"queue": [one.model_dump(mode="json") for one in found.queue]})
        return
    rows = [
        [str(one.position), one.run, str(one.priority), ago(one.created_at)] for one in found.queue
    ]
    show_table(("POSITION", "RUN", "PRIORITY", "WAITS"), rows)
    _tell_notice(found.notice)


def _tell_notice(notice: str | None) -> None:
    if notice:
        click.echo(notice, err=True)
