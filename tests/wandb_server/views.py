"""Saved views: reports (`runs`, and drafts of them) and workspaces (`project-view`)."""

import base64
import json
from dataclasses import dataclass
from typing import Any

REPORT = "runs"
WORKSPACE = "project-view"


@dataclass
class View:
    """A report or a workspace; its spec is the JSON that the client sent."""

    id: str
    entity: str
    project: str
    type: str
    name: str
    display_name: str | None
    description: str | None
    spec_json: str
    created_at: float
    updated_at: float
    saves: int = 1

    @property
    def spec(self) -> dict[str, Any]:
        return json.loads(self.spec_json)


class Views:
    """All views by id."""

    def __init__(self) -> None:
        self.all: dict[str, View] = {}
        self._made = 0

    def get(self, view_id: str) -> View | None:
        """By id; base64's padding may be missing, as it is in a report's URL."""
        return self.all.get(view_id) or self.all.get(view_id + "=" * (-len(view_id) % 4))

    def of_project(self, entity: str, project: str) -> list[View]:
        return [v for v in self.all.values() if (v.entity, v.project) == (entity, project)]

    def save(self, given: dict[str, Any], entity: str, now: float) -> tuple[View, bool]:
        """Make a view, or change the one that `id` names, or that has this type and name.

        Returns:
            The view, and whether it is new.
        """
        project = given.get("projectName") or ""
        view = self.get(given["id"]) if given.get("id") else None
        view = view or next(
            (
                each
                for each in self.of_project(entity, project)
                if (each.type, each.name) == (given.get("type"), given.get("name"))
            ),
            None,
        )
        if view is not None:
            _change(view, given, now)
            return view, False
        self._made += 1
        view_id = base64.b64encode(f"View:{self._made}".encode()).decode()
        view = View(
            view_id,
            entity,
            project,
            given.get("type") or REPORT,
            given.get("name") or view_id,
            given.get("displayName"),
            given.get("description"),
            given.get("spec") or "{}",
            now,
            now,
        )
        self.all[view_id] = view
        return view, True


def _change(view: View, given: dict[str, Any], now: float) -> None:
    view.updated_at = now
    view.saves += 1
    for field, name in (
        ("type", "type"),
        ("name", "name"),
        ("display_name", "displayName"),
        ("description", "description"),
        ("spec_json", "spec"),
    ):
        if given.get(name) is not None:
            setattr(view, field, given[name])
