"""`midcourse journal`: the record of what was commanded."""

from collections.abc import Iterable
from pathlib import Path

import click

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import clock, show_table
from midcourse.cli.receipts import action_words, changes
from midcourse.contract.api.commands import JournalEntry


@click.command()
@run_argument
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Download it to a file.")
@common
def journal(said: Common, run: str, output: str | None) -> None:
    """Every command of a run that has its receipt, in the order in which they acted.

    With --json or -o it is as the API has it: one JSON object a line.
    """
    client = said.client
    run_id = client.find(run)
    if output is not None:
        _download(client.journal_lines(run_id), Path(output))
    elif said.as_json:
        for line in client.journal_lines(run_id):
            click.echo(line)
    else:
        show_table(
            ("STEP", "WHEN", "WHO", "WHAT", "STATE", "OUTCOME", "REASON"),
            [_row(entry) for entry in client.journal(run_id)],
        )


def _download(lines: Iterable[str], file: Path) -> None:
    count = 0
    with file.open("w") as opened:
        for line in lines:
            opened.write(f"{line}\n")
            count += 1
    click.echo(f"{count} commands written to {file}", err=True)


def _row(entry: JournalEntry) -> list[str]:
    return [
        "" if entry.step is None else str(entry.step),
        clock(entry.ended_at),
        entry.actor,
        action_words(entry.action.model_dump(mode="json")),
        str(entry.state),
        entry.why or ", ".join(changes(entry.before, entry.after)),
        entry.reason or "",
    ]
