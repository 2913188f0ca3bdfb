"""Importance as bars to the left and right of none."""

from dataclasses import dataclass

from dashboards.html.source import Source
from dashboards.importance import FEWEST_RUNS, rank
from dashboards.panels import Importance
from dashboards.words import counted


@dataclass(frozen=True)
class RankBar:
    """One setting; the bar in hundredths of the half width."""

    name: str
    start: float
    width: float
    sign: str
    value: str
    runs: str


@dataclass(frozen=True)
class RankingView:
    """What the template draws."""

    bars: list[RankBar]
    notes: list[str]


def draw_ranking(panel: Importance, source: Source) -> RankingView:
    """The ranking of a panel's settings, or why there is none."""
    ranking = rank(source.of(panel.runs), panel.columns, panel.metric)
    bars = [
        RankBar(
            name=each.column.name,
            start=round(100 + min(each.value, 0) * 100, 1),
            width=round(abs(each.value) * 100, 1),
            sign="more" if each.value > 0 else "less",
            value=f"{each.value:+.2f}",
            runs=counted(each.runs, "run"),
        )
        for each in ranking.correlations
    ]
    notes = []
    if ranking.runs < FEWEST_RUNS:
        have = counted(ranking.runs, "run has", "runs have")
        notes.append(
            f"Too few runs: {have} {panel.metric}, and fewer than {FEWEST_RUNS} say nothing."
        )
    elif ranking.left_out:
        names = ", ".join(ranking.left_out)
        notes.append(
            f"Not ranked, as they are no numbers, or too few runs differ in them: {names}."
        )
    return RankingView(bars, notes)
