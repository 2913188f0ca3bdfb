"""Tables: logged ones, interventions, configurations side by side, and what a page worked out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from dashboards.comparing import config_of, differing
from dashboards.html.source import Source
from dashboards.panels import ConfigDifference, Rows, TableOf
from dashboards.records import Run
from dashboards.words import number, plain
from midcourse.contract.interventions import TABLE
from midcourse.contract.media import Table

MOST_ROWS: Final = 300


@dataclass(frozen=True)
class CellView:
    """A cell: its text, and whether it is a number, which stands to the right."""

    text: str
    numeric: bool = False
    colour: str = ""
    """Of the run that it names; none otherwise."""
    mark: str = ""
    """A class for what is good or bad."""


@dataclass(frozen=True)
class TableView:
    """Rows under columns."""

    columns: list[CellView]
    rows: list[list[CellView]]
    caption: str = ""
    notes: tuple[str, ...] = ()


def draw_rows(panel: Rows, source: Source) -> TableView:
    """A table that the page itself has worked out; where a cell names a run, it has its colour."""
    names = {run.label: source.colour(run.id) for run in source.page.runs}
    names |= {run.id: source.colour(run.id) for run in source.page.runs}
    many = source.has_many_runs
    return TableView(
        columns=[
            CellView(name, colour=_named(name, names) if many else "") for name in panel.columns
        ],
        rows=[
            [_with_colour(cell_view(cell), names if many else {}) for cell in row]
            for row in panel.rows[:MOST_ROWS]
        ],
        notes=_cut(len(panel.rows)),
    )


def draw_tables(panel: TableOf, source: Source) -> list[TableView]:
    """One table of all interventions, or the newest logged table of each run."""
    if panel.media == TABLE:
        return [_interventions(source.of(panel.runs), source)]
    views = []
    for run_id in panel.runs:
        kept = source.run(run_id).media.get(panel.media)
        if kept and isinstance(kept[-1].media, Table):
            table = kept[-1].media
            whose = f"{source.label(run_id)}, " if source.has_many_runs else ""
            views.append(
                TableView(
                    columns=[CellView(name) for name in table.columns],
                    rows=[[cell_view(cell) for cell in row] for row in table.rows[:MOST_ROWS]],
                    caption=f"{whose}step {kept[-1].step}",
                    notes=_cut(len(table.rows)),
                )
            )
    return views


def draw_config_difference(panel: ConfigDifference, source: Source) -> TableView | None:
    """A line for each setting that is not the same in all runs; None where there is none."""
    runs = source.of(panel.runs)
    rows = [
        *_differences("live parameter", [run.values for run in runs]),
        *_differences("configuration", [config_of(run) for run in runs]),
    ]
    if not rows:
        return None
    return TableView(
        columns=[
            CellView("setting"),
            CellView("kind"),
            *(CellView(source.label(run.id), colour=source.colour(run.id)) for run in runs),
        ],
        rows=rows[:MOST_ROWS],
        notes=_cut(len(rows)),
    )


def cell_view(value: JsonValue) -> CellView:
    """A value as a cell; an empty one where there is none."""
    if value is None:
        return CellView("")
    if isinstance(value, bool):
        return CellView("yes" if value else "no")
    if isinstance(value, int | float):
        return CellView(str(value) if isinstance(value, int) else number(value), numeric=True)
    text = plain(value)
    return CellView(text, numeric=_looks_numeric(text), mark=_MARKS.get(text, ""))


_MARKS = {"better": "good", "worse": "bad"}


def _looks_numeric(text: str) -> bool:
    return bool(text) and text.lstrip("+-").replace(".", "", 1).replace("e", "", 1)[:1].isdigit()


def _interventions(runs: Sequence[Run], source: Source) -> TableView:
    many = source.has_many_runs
    told = sorted(
        ((run, each) for run in runs for each in run.interventions),
        key=lambda pair: pair[1].time,
    )
    columns = [
        "step",
        "who",
        "command",
        "parameter",
        "before",
        "after",
        "why",
        "state",
        "when (UTC)",
        "no.",
    ]
    rows = [
        [
            *([CellView(source.label(run.id), colour=source.colour(run.id))] if many else []),
            cell_view(each.step),
            cell_view(each.actor),
            cell_view(each.command),
            cell_view(each.parameter),
            cell_view(each.before),
            cell_view(each.after),
            cell_view(each.reason),
            CellView(each.state, mark="" if each.state == "applied" else "bad"),
            CellView(each.time.strftime("%m-%d %H:%M:%S")),
            cell_view(each.seq),
        ]
        for run, each in told[:MOST_ROWS]
    ]
    return TableView(
        columns=[CellView(name) for name in (["run", *columns] if many else columns)],
        rows=rows,
        notes=_cut(len(told)),
    )


def _differences(kind: str, settings: Sequence[Mapping[str, JsonValue]]) -> list[list[CellView]]:
    return [
        [
            CellView(name),
            CellView(kind),
            *(CellView("—") if name not in each else _setting(each[name]) for each in settings),
        ]
        for name in differing(settings)
    ]


def _setting(value: JsonValue) -> CellView:
    """As it is written in a configuration: null is a value there."""
    return CellView("null") if value is None else cell_view(value)


def _cut(rows: int) -> tuple[str, ...]:
    return (f"The first {MOST_ROWS} of {rows} rows are shown.",) if rows > MOST_ROWS else ()


def _named(text: str, names: Mapping[str, str]) -> str:
    """The colour of the run that a heading begins with, such as `r7… best`."""
    return next(
        (shade for name, shade in names.items() if text.split(" ")[0] == name or text == name), ""
    )


def _with_colour(view: CellView, names: Mapping[str, str]) -> CellView:
    if view.text not in names:
        return view
    return CellView(view.text, view.numeric, names[view.text], view.mark)
