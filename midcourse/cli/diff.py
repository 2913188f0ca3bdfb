"""`midcourse diff`: how two runs differ."""

import click
from pydantic import JsonValue

from midcourse.cli.options import RUN, Common, common
from midcourse.cli.printing import number, show_record, show_table, value
from midcourse.client.difference import Pair, difference


@click.command()
@click.argument("first", type=RUN, metavar="RUN")
@click.argument("second", type=RUN, metavar="RUN")
@common
def diff(said: Common, first: str, second: str) -> None:
    """How two runs differ: configuration, live values, latest metrics.

    What is equal is left out.
    """
    client = said.client
    one, other = client.run(client.find(first)), client.run(client.find(second))
    found = difference(one, other)
    if said.as_json:
        show_record(found)
        return
    parts = [
        ("", found.facts),
        ("config.", found.config),
        ("values.", found.values),
        ("metrics.", found.metrics),
    ]
    for run in (one, other):
        if not run.values and not run.metrics:
            # All that the other has would be a difference, and none of it says anything.
            click.echo(f"{run.id} has not begun: it has no values and no metrics.", err=True)
            parts = [part for part in parts if part[0] not in ("values.", "metrics.")]
    rows = [
        [f"{prefix}{name}", _said(prefix, pair[0]), _said(prefix, pair[1]), _change(pair)]
        for prefix, pairs in parts
        for name, pair in sorted(pairs.items())
    ]
    if rows:
        show_table(["", one.id, other.id, "CHANGE"], rows)
    else:
        click.echo(f"{one.id} and {other.id} do not differ.")


def _said(prefix: str, one: JsonValue) -> str:
    if one is None:
        return "-"
    return number(one) if prefix == "metrics." else value(one)


def _change(pair: Pair) -> str:
    """The second less the first, where both are numbers."""
    first, second = pair
    if isinstance(first, bool | str | None) or isinstance(second, bool | str | None):
        return ""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return f"{'+' if second > first else ''}{number(second - first)}"
    return ""
