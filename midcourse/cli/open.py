"""`midcourse open`: a run's page in the browser."""

import webbrowser

import click

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import show_json
from midcourse.contract.api.runs import RunView


@click.command("open")
@run_argument
@click.option("--print", "only_print", is_flag=True, help="Only print its address.")
@common
def open_page(said: Common, run: str, only_print: bool) -> None:
    """Open a run's page at Weights & Biases.

    Where it has none, say where the run is told instead, and how to send it.
    """
    client = said.client
    found = client.run(client.find(run))
    url = found.tracking.url if found.tracking else None
    if said.as_json:
        show_json({"run": found.id, "url": url, "api": f"{client.url}/api/v1/runs/{found.id}"})
    elif url is None:
        click.echo(_instead(found, client.url))
    else:
        click.echo(url)
        if not only_print:
            webbrowser.open(url)


def _instead(run: RunView, api: str) -> str:
    folder = run.tracking.folder if run.tracking else None
    sync = f" `midcourse sync {run.id}` makes one, where there is a key." if folder else ""
    return f"{run.id} has no page at W&B.{sync} The API tells of it: {api}/api/v1/runs/{run.id}"
