"""Bars by label as SVG; those of several runs stand side by side."""

import math
from dataclasses import dataclass
from typing import Final

from dashboards.html.scales import Scale, scale_over
from dashboards.html.source import Source
from dashboards.panels import Bars
from dashboards.words import number
from midcourse.contract import media as logged

WIDTH, WIDE, HEIGHT = 545, 1140, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 46
MOST_LABELS: Final = 60
MOST_RUNS: Final = 8
MOST_RUNS_IN_HALF: Final = 3
"""More have the whole width of the page."""
_NARROWEST, _GROUP_GAP = 5.0, 0.28


@dataclass(frozen=True)
class Bar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    run: int
    text: str


@dataclass(frozen=True)
class BarsView:
    """What the template draws."""

    width: float
    bars: list[Bar]
    labels: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    base: float
    label_title: str
    value_title: str
    summary: str
    notes: list[str]


def draw_bars(panel: Bars, source: Source) -> BarsView | None:
    """The chart of a panel; None where no run has logged such bars."""
    found = [
        (run_id, kept[-1].step, kept[-1].media)
        for run_id in panel.runs
        if (kept := source.run(run_id).media.get(panel.media))
    ]
    sets = [(run_id, step, bars) for run_id, step, bars in found if isinstance(bars, logged.Bars)]
    if not sets:
        return None
    shown = sets[:MOST_RUNS]
    labels = list(dict.fromkeys(label for _, _, bars in shown for label in bars.labels))
    notes = _notes(len(sets), len(labels))
    labels = labels[:MOST_LABELS]
    values = [value for _, _, bars in shown for value in bars.values if math.isfinite(value)]
    y = scale_over(values, HEIGHT - BOTTOM, TOP, zero=True)
    room = (WIDTH if len(source.page.runs) <= MOST_RUNS_IN_HALF else WIDE) - LEFT - RIGHT
    wide = max(room / max(len(labels), 1), _NARROWEST * len(shown) / (1 - _GROUP_GAP))
    first = shown[0][2]
    return BarsView(
        width=round(LEFT + RIGHT + wide * len(labels), 1),
        bars=_bars(shown, labels, wide, y, source),
        labels=[(round(LEFT + wide * (i + 0.5), 1), label) for i, label in enumerate(labels)],
        y_ticks=[(y(value), label) for value, label in y.ticks],
        base=y(0.0),
        label_title=first.label_title,
        value_title=first.value_title,
        summary=_summary(panel, shown, source),
        notes=notes,
    )


def _bars(
    sets: list[tuple[str, int, logged.Bars]],
    labels: list[str],
    wide: float,
    y: Scale,
    source: Source,
) -> list[Bar]:
    thick = wide * (1 - _GROUP_GAP) / len(sets)
    drawn = []
    for place, (run_id, step, bars) in enumerate(sets):
        by_label = dict(zip(bars.labels, bars.values, strict=False))
        whose = f"{source.label(run_id)}, " if source.has_many_runs else ""
        for index, label in enumerate(labels):
            value = by_label.get(label)
            if value is None or not math.isfinite(value):
                continue
            top, bottom = sorted((y(value), y(0.0)))
            drawn.append(
                Bar(
                    x=round(LEFT + wide * (index + _GROUP_GAP / 2) + thick * place, 1),
                    y=top,
                    width=round(max(thick - 1, 1), 1),
                    height=round(max(bottom - top, 0.5), 1),
                    colour=source.colour(run_id),
                    run=source.index(run_id),
                    text=f"{whose}{label}: {number(value)} (step {step})",
                )
            )
    return drawn


def _notes(runs: int, labels: int) -> list[str]:
    notes = []
    if labels > MOST_LABELS:
        notes.append(f"The first {MOST_LABELS} of {labels} labels are shown.")
    if runs > MOST_RUNS:
        notes.append(f"The first {MOST_RUNS} of {runs} runs are shown.")
    return notes


def _summary(panel: Bars, sets: list[tuple[str, int, logged.Bars]], source: Source) -> str:
    told = []
    for run_id, _, bars in sets:
        pairs = zip(bars.labels[:20], bars.values[:20], strict=False)
        told.append(
            f"{source.label(run_id)}: " + ", ".join(f"{name} {number(v)}" for name, v in pairs)
        )
    return f"{panel.title}. {'; '.join(told)}."
