"""The lineage as SVG: a lane for each run along the steps, leaving its parent's at the branch."""

from dataclasses import dataclass
from typing import Final

from dashboards.html.markers import markers_of
from dashboards.html.scales import Scale
from dashboards.html.source import Source
from dashboards.lineage import Branch, lineage, told
from dashboards.panels import LineageTree

WIDTH: Final = 1160
LANE: Final = 46
LEFT, TOP, BOTTOM = 16, 22, 30
LABELS_AT: Final = 640
"""Where the names stand; the lanes end before."""
_LONGEST: Final = 92
"""So many characters have room behind."""


@dataclass(frozen=True)
class Lane:
    """One run."""

    y: float
    begin: float
    end: float
    colour: str
    run: int | None
    """Its place on the page; None: it is not here."""
    title: str
    detail: str
    short: str
    """The detail, as much of it as there is room for."""
    from_parent: str
    """The path from the parent's lane; empty of a root."""
    dots: list[tuple[float, str]]


@dataclass(frozen=True)
class LineageView:
    """What the template draws."""

    width: float
    height: float
    lanes: list[Lane]
    x_ticks: list[tuple[float, str]]
    summary: str
    labels_at: float = LABELS_AT


def draw_lineage(panel: LineageTree, source: Source) -> LineageView:
    """The tree of the runs of a panel."""
    branches = lineage(source.of(panel.runs))
    last = max((branch.run.last_step or 0 for branch in branches if branch.run), default=0)
    x = Scale(0, max(last, 1), LEFT, LABELS_AT - 24)
    rows = {branch.id: TOP + LANE * index for index, branch in enumerate(branches)}
    lanes = [_lane(branch, panel, source, x, rows) for branch in branches]
    return LineageView(
        width=WIDTH,
        height=TOP + LANE * len(branches) + BOTTOM - LANE / 2,
        lanes=lanes,
        x_ticks=[(x(value), label) for value, label in x.ticks],
        summary="; ".join(f"{lane.title}: {lane.detail}" for lane in lanes),
    )


def _lane(
    branch: Branch, panel: LineageTree, source: Source, x: Scale, rows: dict[str, int]
) -> Lane:
    y = rows[branch.id]
    run = branch.run
    if run is None:
        return Lane(y, x(0), x(x.high), "gone", None, branch.id, "not here", "not here", "", [])
    begin = x(max(run.branched_at or 0, 0)) if run.origin is not None else x(0)
    end = x(max(run.last_step or 0, 0))
    path = ""
    if branch.parent is not None:
        above = rows[branch.parent]
        path = f"M{begin:g},{above:g}V{y - 9:g}Q{begin:g},{y:g} {begin + 9:g},{y:g}"
        begin += 9
    detail = told(branch, panel.metric)
    return Lane(
        y=y,
        begin=begin,
        end=max(end, begin),
        colour=source.colour(run.id),
        run=source.index(run.id),
        title=source.label(run.id),
        detail=detail,
        short=detail if len(detail) <= _LONGEST else f"{detail[: _LONGEST - 1]}…",
        from_parent=path,
        # How it began is told by where its lane begins.
        dots=[(x(marker.step), marker.text) for marker in markers_of(run) if marker.seq],
    )
