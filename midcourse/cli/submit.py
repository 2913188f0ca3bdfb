"""`midcourse submit`: queue a run, or a grid of them."""

import click
from pydantic import JsonValue

from midcourse.cli.fork import name_option, tell_run
from midcourse.cli.options import Common, common, waiting_for_a_run
from midcourse.cli.printing import show_record, show_table, value
from midcourse.cli.program import command_option, image_option
from midcourse.cli.values import parse_changes, parse_grid, read_config, set_path
from midcourse.client.runs import Submission
from midcourse.contract.api.submissions import SweepView


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="What differs from the file, such as optimizer.lr=0.01; may be repeated.",
)
@click.option(
    "--grid",
    "axes",
    multiple=True,
    metavar="PATH=VALUE,VALUE...",
    help="A run for each value; with several of these, for each combination.",
)
@name_option
@click.option("--experiment", metavar="NAME", help="Groups runs; else as the file has it.")
@click.option("--priority", type=int, metavar="N", help="In the queue the highest comes first.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated.")
@click.option("--notes", metavar="TEXT", help="What people should know of it.")
@image_option
@command_option
@waiting_for_a_run
@common
def submit(
    said: Common,
    file: str,
    changes: tuple[str, ...],
    axes: tuple[str, ...],
    name: str | None,
    experiment: str | None,
    priority: int | None,
    tags: tuple[str, ...],
    notes: str | None,
    image: str | None,
    command: list[str] | None,
    wait: float | None,
) -> None:
    """Queue a training. FILE has its parameters, in JSON or YAML; - is standard input.

    \b
      midcourse submit params.json --set optimizer.lr=0.01 --wait
      midcourse submit params.json --grid optimizer.lr=0.1,0.01 --grid seed=0,1,2
    """
    config: dict[str, JsonValue] = read_config(file)
    for path, new in parse_changes(changes).items():
        set_path(config, path, new)
    client, grid = said.client, parse_grid(axes)
    beside: Submission = {
        "name": name,
        "experiment": experiment,
        "priority": priority,
        "tags": tags,
        "notes": notes,
        "image": image,
        "command": command,
        "wait": wait,
    }
    if not grid:
        tell_run(said, client.submit(config, **beside), wait)
        return
    sweep = client.sweep(config, grid=grid, **beside)
    _tell_sweep(said, sweep, list(grid))


def _tell_sweep(said: Common, sweep: SweepView, axes: list[str]) -> None:
    if said.as_json:
        show_record(sweep)
        return
    click.echo(f"sweep {sweep.sweep}: {len(sweep.runs)} runs")
    rows = [
        [run.id, str(run.status), *(_at(run.config, axis) for axis in axes)] for run in sweep.runs
    ]
    show_table(["ID", "STATUS", *axes], rows)


def _at(config: dict[str, JsonValue], path: str) -> str:
    here: JsonValue = config
    for key in path.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return value(here)
