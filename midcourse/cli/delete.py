"""`midcourse delete`: delete ended runs, and say first what goes with them."""

import click

from midcourse.cli.options import RUN, Common, common
from midcourse.cli.printing import show_record, size
from midcourse.contract.api.runs import Deletion


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN, metavar="RUN...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@common
def delete(said: Common, runs: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete ended runs with their files, metrics and pictures.

    Checkpoints that other runs came from stay. It asks first, and names what would go.
    """
    client = said.client
    run_ids = list(dict.fromkeys(client.find(run) for run in runs))
    if dry_run or not yes:
        for run_id in run_ids:
            would = client.delete(run_id, dry_run=True)
            if said.as_json and dry_run:
                show_record(would)
            else:
                click.echo("\n".join(_lines(would)), err=said.as_json)
    if dry_run:
        return
    if not yes:
        click.confirm(
            "Delete?" if len(run_ids) == 1 else f"Delete {len(run_ids)} runs?", abort=True, err=True
        )
    for run_id in run_ids:
        gone = client.delete(run_id)
        if said.as_json:
            show_record(gone)
        else:
            click.echo(f"{gone.run}: deleted; {size(gone.bytes_freed)} are free")


def _lines(would: Deletion) -> list[str]:
    lines = [f"{would.run}: {size(would.bytes_freed)} would go"]
    if would.checkpoints_gone:
        lines.append(f"  checkpoints    {_some(would.checkpoints_gone)}")
    for freed in would.checkpoints_freed:
        lines.append(f"  kept till now  {freed.name} of {freed.run}, which was deleted before")
    lines.append(f"  besides        {would.metrics} metrics, {would.media} pictures and tables")
    if would.files:
        lines.append(f"  files          {_some([entry.path for entry in would.files])}")
    for kept in would.checkpoints_kept:
        lines.append(f"  stays          {kept.name}: {', '.join(kept.needed_by)} came from it")
    if would.children:
        lines.append(f"  not touched    {_some(would.children)}, which come from it")
    return lines


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
