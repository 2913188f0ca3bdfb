"""`midcourse logs`: what a run's trainer printed."""

import click

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import show_json


@click.command()
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the run ends.")
@click.option(
    "-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines."
)
@common
def logs(said: Common, run: str, follow: bool, tail: int | None) -> None:
    """What a run's trainer printed. With --json, each piece is an object with its text."""
    client = said.client
    for text in client.logs(client.find(run), tail=tail, follow=follow):
        if said.as_json:
            show_json({"text": text})
        else:
            click.echo(text, nl=False)
