"""`midcourse report`: an experiment's pages at Weights & Biases."""

import click

from midcourse.cli.options import Common, common
from midcourse.cli.printing import show_record
from midcourse.contract.api.reports import ReportState, ReportView

WAIT_SECONDS = 60.0
"""As long as the API keeps anybody waiting: W&B takes its time."""


@click.command()
@click.argument("experiment")
@click.option("--show", is_flag=True, help="Publish nothing: say where the pages are.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the links.")
@common
def report(said: Common, experiment: str, show: bool, no_wait: bool) -> None:
    """Publish an experiment's pages at Weights & Biases: a workspace and reports.

    Those that are there are changed in place. The API needs a key for W&B. From then on the pages
    are published again by themselves when runs of the experiment have ended.
    """
    if show:
        found = said.client.report(experiment)
    else:
        wait = None if no_wait else WAIT_SECONDS
        found = said.client.publish_report(experiment, wait=wait)
    if said.as_json:
        show_record(found)
        return
    for link in found.links:
        click.echo(f"{link.title}: {link.url}")
    for note in (*found.notes, *_state(found)):
        click.echo(note, err=True)


def _state(found: ReportView) -> list[str]:
    if found.state is ReportState.PUBLISHED:
        return []
    if found.state is ReportState.FAILED:
        return [f"Not published: {found.error}"]
    return [f"Under way; `midcourse report {found.experiment} --show` says what comes of it."]
