"""`midcourse metrics`: curves of a run, or their points."""

import click

from midcourse.cli.chart import curve
from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import console, show_record

WIDTH, HEIGHT = 80, 6


@click.command()
@run_argument
@click.argument("names", nargs=-1, metavar="[METRIC...]")
@click.option(
    "--max-points",
    type=click.IntRange(10, 100_000),
    metavar="N",
    help="Each in at most so many points, the extremes among them.",
)
@click.option("--since-step", type=click.IntRange(min=0), metavar="N", help="From this step on.")
@click.option("--csv", "as_csv", is_flag=True, help="The points: metric, step, value.")
@common
def metrics(
    said: Common,
    run: str,
    names: tuple[str, ...],
    max_points: int | None,
    since_step: int | None,
    as_csv: bool,
) -> None:
    """Curves of a run as text; with --csv or --json the points.

    \b
      midcourse metrics r7x train/batch_loss test/accuracy
      midcourse metrics r7x test/accuracy --csv > accuracy.csv
    """
    client, screen = said.client, console()
    width = min(screen.width - 2, 160) if screen.is_terminal else WIDTH
    run_id = client.find(run)
    if max_points is None and not as_csv and not said.as_json:
        max_points = max(width, 10)
    answer = client.metrics(run_id, names, max_points=max_points, since_step=since_step)
    if said.as_json:
        show_record(answer)
        return
    if as_csv:
        click.echo("metric,step,value")
    for name, series in answer.metrics.items():
        if as_csv:
            quoted = f'"{name}"' if "," in name else name
            while True:
                for step, value in zip(series.steps, series.values, strict=True):
                    click.echo(f"{quoted},{step},{value}")
                if series.next_step is None:
                    break
                more = client.metrics(run_id, [name], since_step=series.next_step)
                series = more.metrics[name]
        else:
            click.echo("\n".join([*curve(name, series, width, HEIGHT), ""]))
