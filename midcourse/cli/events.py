"""`midcourse events`: what happens, as it happens."""

import click

from midcourse.cli.happenings import event_line
from midcourse.cli.options import RUN, Common, common
from midcourse.cli.printing import show_record


@click.command()
@click.argument("run", type=RUN, required=False, metavar="[RUN]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--experiment", metavar="NAME", help="Only of this experiment's runs.")
@click.option(
    "--kinds",
    metavar="KINDS",
    help="Only these, with commas between: run.created, run.status, run.params, run.changed, "
    "run.desired, command, checkpoint.written, checkpoint.deleted.",
)
@click.option("--after", type=int, metavar="N", help="Begin after event N; 0: with the first.")
@common
def events(
    said: Common,
    run: str | None,
    follow: bool,
    experiment: str | None,
    kinds: str | None,
    after: int | None,
) -> None:
    """What has happened to a run, or to all; with -f, what happens from now on.

    With --json, one event a line.
    """
    client = said.client
    run_id = client.find(run) if run else None
    stream = client.events(
        run_id,
        experiment=experiment,
        kinds=kinds,
        after=after if follow else after or 0,
        follow=follow,
    )
    for event in stream:
        if said.as_json:
            show_record(event)
        else:
            when = event.at.astimezone().strftime("%H:%M:%S")
            click.echo(f"{event.id:>6}  {when}  {event_line(event)}")
