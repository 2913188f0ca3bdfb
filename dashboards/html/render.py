"""A page as one HTML document, which asks no other host for anything."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboards.html.colours import COLOURS
from dashboards.html.source import Source
from dashboards.html.spread import spread_out
from dashboards.html.views import PanelView, draw
from dashboards.panels import Curves, Page, Section
from dashboards.records import Run
from dashboards.words import moment
from midcourse.contract.base import utc_now

MOST_POINTS: Final = 80_000
"""Of all curves together: what a browser draws without a pause, in about two megabytes."""
_POINTS_OF_A_LINE = (60, 600)


def render(page: Page, runs: Iterable[Run], now: datetime | None = None) -> str:
    """The document.

    Args:
        page: what to show.
        runs: the records of all runs that the page names.
        now: when it is made; by default, now.
    """
    by_id = {run.id: run for run in runs}
    page = spread_out(page, by_id)
    source = Source(page, by_id, _points(page))
    sections = [
        _draw_section(section, place, source) for place, section in enumerate(page.sections)
    ]
    style, script = _asset("page.css"), _script()
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            source=source,
            sections=sections,
            data={
                view.id: view.view.data
                for _, views in sections
                for view in views
                if isinstance(view.panel, Curves)
            },
            style=Markup(style),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704
            policy=_policy(style, script),
            made=moment(now or utc_now()),
            colours=COLOURS,
        )
    )


def _draw_section(section: Section, place: int, source: Source) -> tuple[Section, list[PanelView]]:
    views = [draw(panel, f"s{place}p{i}", source) for i, panel in enumerate(section.panels)]
    return section, views


def _points(page: Page) -> int:
    """How many points a line may have, so that all of them together are not too many."""
    panels = [panel for section in page.sections for panel in section.panels]
    lines = sum(
        len(panel.metrics) * len(panel.runs) for panel in panels if isinstance(panel, Curves)
    )
    least, most = _POINTS_OF_A_LINE
    return max(least, min(most, MOST_POINTS // max(lines, 1)))


def _policy(style: str, script: str) -> str:
    """Nothing is loaded, and of scripts and styles only ours run, known by their hashes."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _script() -> str:
    parts = "\n".join(_asset(name) for name in ("scales.js", "chart.js", "page.js"))
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@lru_cache
def _asset(name: str) -> str:
    return (resources.files("dashboards.html") / "assets" / name).read_text("utf-8")


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dashboards.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment
