"""Saves pages in W&B: made once, changed in place later, under links that stay."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dashboards.account import Account
from dashboards.made import Made
from dashboards.panels import Page
from dashboards.records import Run
from dashboards.wandb_views import kept_blocks, kept_panels
from dashboards.wandb_views.marks import own_id, view_name
from dashboards.wandb_views.memory import Memory
from dashboards.wandb_views.report import report
from dashboards.wandb_views.server import DRAFT, REPORT, WORKSPACE, Kind, Server, View
from dashboards.wandb_views.workspace import workspace
from dashboards.words import moment
from midcourse.contract.base import utc_now


@dataclass(frozen=True)
class Published:
    """A page where people find it now."""

    title: str
    link: str
    notes: tuple[str, ...] = ()
    """What they should know, in sentences."""


class Publisher:
    """Saves pages in one project."""

    def __init__(self, account: Account, home: Path, now: datetime | None = None) -> None:
        """Asks the server who we are.

        Args:
            account: whose key and project.
            home: the folder of all runs, which remembers what was published.
            now: stands in the titles of copies that are kept; by default, now.

        Raises:
            CannotPublish: the key is refused, the server cannot be reached, or has no such project.
        """
        self._server = Server(account)
        self._memory = Memory(home, account.base_url)
        self.place = self._server.place()
        self._now = now or utc_now()

    def not_there(self, runs: Sequence[Run]) -> list[str]:
        """The ids of those runs that the project does not have (yet): their panels stay empty.

        Raises:
            CannotPublish: the server does not answer.
        """
        there = self._server.runs_among(self.place, [run.id for run in runs])
        return [run.id for run in runs if run.id not in there]

    def has_news(self, made: Made) -> bool:
        """Whether a report was published from here, and would say something else by now."""
        return self._memory.has_other(self.place.path, _name_of(made.page), _mark_of(made))

    def publish(self, made: Made) -> Published:
        """Save a page, where nothing has changed without a trace.

        Raises:
            CannotPublish: the server does not answer, or refuses; or the home is not writable.
        """
        if made.page.kind == "workspace":
            return self._workspace(made.page, made.runs)
        return self._report(made)

    def _workspace(self, page: Page, runs: Sequence[Run]) -> Published:
        drawn = workspace(page, runs, self.place)
        name = f"nw-{view_name('workspace', page.experiment)}-v"
        fresh = View("", WORKSPACE, name, drawn.name, "", spec_of(drawn))
        found = self._find(WORKSPACE, name)
        if found is None:
            found = self._server.save(self.place, fresh)
        elif (merged := kept_panels.with_ours(found.spec, fresh.spec)) != found.spec:
            found = self._server.save(self.place, replace(found, spec=merged))
        return self._published(name, found)

    def _report(self, made: Made) -> Published:
        drawn = report(made.page, made.runs, self.place)
        name, said = _name_of(made.page), _mark_of(made)
        spec = kept_blocks.marked(spec_of(drawn))
        found = self._find(REPORT, name)
        if found is None:
            fresh = View("", REPORT, name, drawn.title, drawn.description, spec)
            return self._published(name, self._server.save(self.place, fresh), said=said)
        merged = kept_blocks.with_ours(found.spec, spec)
        notes = [self._keep_copy(found)] if merged.loses else []
        if merged.spec is not None:
            found = self._server.save(self.place, replace(found, spec=merged.spec))
        return self._published(name, found, *notes, said=said)

    def _find(self, kind: Kind, name: str) -> View | None:
        """By its name; where it lost that, by its id."""
        found = self._server.find(self.place, kind, name)
        known = self._memory.id_of(self.place.path, name) if found is None else None
        return found if known is None else self._server.find_by_id(kind, known)

    def _keep_copy(self, found: View) -> str:
        """A draft of a report as people left it; says so."""
        name = view_name("draft", found.name, json.dumps(found.spec, sort_keys=True))
        title = f"{found.title[:80]} (as it was on {moment(self._now)})"
        known = self._server.find(self.place, DRAFT, name)
        copy = known or self._server.save(
            self.place, View("", DRAFT, name, title, found.description, found.spec)
        )
        return (
            f"somebody changed what Midcourse had written in {found.title!r}; it was written anew, "
            f"and their version is kept as a draft: {self._server.link(self.place, copy)}"
        )

    def _published(self, name: str, view: View, *notes: str, said: str | None = None) -> Published:
        self._memory.keep(self.place.path, name, view.id, said)
        return Published(view.title, self._server.link(self.place, view), notes)


def spec_of(drawn: Any) -> dict[str, Any]:
    """A report or workspace as W&B keeps it."""
    text = drawn._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    spec: dict[str, Any] = json.loads(text)
    return spec


def _name_of(page: Page) -> str:
    """Of a report: what it is of, besides its experiment, stays the same."""
    subject = [] if page.kind == "comparison" else [run.id for run in page.runs]
    return view_name(page.kind, page.experiment, *subject)


def _mark_of(made: Made) -> str:
    """Another one as soon as its page says something else, or its runs have said something."""
    words = [str(run.last_seen) for run in made.runs]
    return own_id("said", made.page.to_json(), *words)
