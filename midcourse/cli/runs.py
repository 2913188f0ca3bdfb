"""`midcourse runs`: the runs, as a table."""

import re
import time
from typing import Any

import click
from rich.live import Live

from midcourse.cli.filters import filters
from midcourse.cli.options import Common, common
from midcourse.cli.printing import (
    ago,
    console,
    number,
    rich_table,
    show_record,
    show_table,
    span,
    value,
)
from midcourse.cli.show import progress
from midcourse.contract.api.runs import RunsAnswer, RunView
from midcourse.contract.names import Metric

SECONDS = 1.0
COLUMNS = ("id", "name", "experiment", "status", "step", "loss", "accuracy", "left", "age")
_SHORT = {
    "loss": f"metrics.{Metric.TRAIN_BATCH_LOSS}",
    "accuracy": f"metrics.{Metric.TEST_ACCURACY}",
}


@click.command()
@filters
@click.option(
    "--sort",
    metavar="FIELDS",
    help="With commas between, - before one for descending: created_at, started_at, ended_at, "
    "step, status, name, priority, experiment, metrics.NAME, config.PATH, values.NAME.",
)
@click.option(
    "--columns",
    metavar="FIELDS",
    help=f"Instead of {','.join(COLUMNS)}: these, and metrics.NAME, config.PATH, values.NAME, "
    "tags, notes, priority, slot, sweep, attempt, error.",
)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, metavar="N")
@click.option("--cursor", metavar="TEXT", help="Where the page before ended.")
@click.option("-w", "--watch", is_flag=True, help="Go on showing them, until Ctrl-C.")
@common
def runs(
    said: Common,
    sort: str | None,
    columns: str | None,
    limit: int,
    cursor: str | None,
    watch: bool,
    **wanted: Any,
) -> None:
    """The runs, the newest first.

    \b
      midcourse runs --watch --experiment digits --sort -metrics.test/accuracy
      midcourse runs --status running,paused --where 'values.optimizer.lr<0.01'
      midcourse runs --columns id,status,config.optimizer.name,metrics.test/accuracy
    """
    chosen = _columns(columns)

    def page() -> RunsAnswer:
        return said.client.runs(sort=sort, limit=limit, cursor=cursor, **wanted)

    screen = console()
    if not watch or not screen.is_terminal:
        _show_once(said, page(), chosen)
        return
    with Live(console=screen, auto_refresh=False, screen=False) as live:
        while True:
            found = page()
            live.update(rich_table(_heads(chosen), _rows(found, chosen)), refresh=True)
            time.sleep(SECONDS)


def _show_once(said: Common, found: RunsAnswer, chosen: list[str]) -> None:
    if said.as_json:
        show_record(found)
        return
    show_table(_heads(chosen), _rows(found, chosen))
    if found.next_cursor is not None:
        click.echo(
            f"{len(found.runs)} of {found.total}; --limit shows more, filters fewer, and "
            f"--cursor {found.next_cursor} goes on.",
            err=True,
        )


def _columns(given: str | None) -> list[str]:
    """The names of the columns.

    Raises:
        click.UsageError: there is no such one.
    """
    chosen = [name.strip() for name in given.split(",") if name.strip()] if given else [*COLUMNS]
    for name in chosen:
        if name not in _CELLS and not re.match(r"(metrics|config|values)\.", name):
            known = ", ".join(_CELLS)
            raise click.UsageError(
                f"There is no column {name!r}: {known}, metrics.NAME, config.PATH, values.NAME."
            )
    return chosen


def _heads(chosen: list[str]) -> list[str]:
    return [name if "." in name else name.upper() for name in chosen]


def _rows(found: RunsAnswer, chosen: list[str]) -> list[list[str]]:
    return [[_cell(run, name) for name in chosen] for run in found.runs]


def _cell(run: RunView, name: str) -> str:
    return _CELLS[name](run) if name in _CELLS else _below(run, name)


def _below(run: RunView, field: str) -> str:
    """`metrics.test/accuracy`, `values.optimizer.lr`, `config.optimizer.lr`."""
    part, _, name = field.partition(".")
    if part == "metrics":
        return number(run.metrics.get(name))
    if part == "values":
        return value(run.values[name]) if name in run.values else ""
    here: Any = run.config
    for key in name.split("."):
        if not isinstance(here, dict) or key not in here:
            return ""
        here = here[key]
    return value(here)


_CELLS: dict[str, Any] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name or "",
    "experiment": lambda run: run.experiment,
    "status": lambda run: str(run.status),
    "step": progress,
    "loss": lambda run: _below(run, _SHORT["loss"]),
    "accuracy": lambda run: _below(run, _SHORT["accuracy"]),
    "left": lambda run: span(run.eta_seconds),
    "age": lambda run: ago(run.created_at),
    "tags": lambda run: ",".join(run.tags),
    "notes": lambda run: (run.notes or "").replace("\n", " "),
    "priority": lambda run: str(run.priority),
    "slot": lambda run: run.slot or "",
    "sweep": lambda run: run.sweep or "",
    "parent": lambda run: run.origin.run if run.origin else "",
    "attempt": lambda run: str(run.attempt),
    "error": lambda run: (run.error or "").replace("\n", " "),
}
