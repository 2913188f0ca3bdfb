"""What W&B's server has of runs, reports and workspaces: a few questions, and one way to save.

By its GraphQL interface, with the queries that `wandb-workspaces` asks: that package reads a view
into objects that know less than W&B does, and what they do not know would be lost on the way back.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import requests
import wandb
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from dashboards.account import Account, CannotPublish
from dashboards.wandb_views.place import Place

Kind = Literal["runs", "runs/draft", "project-view"]
"""A report, a draft of one, or a workspace."""
REPORT: Final = "runs"
DRAFT: Final = "runs/draft"
WORKSPACE: Final = "project-view"

REQUEST_SECONDS: Final = 30.0
_RETRIES: Final = Retry(
    total=3,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # what is posted here can be posted twice
    raise_on_status=False,
)

_VIEWER = "query Viewer { viewer { entity } }"
_PROJECT = """query ProjectInternalId($entity: String!, $project: String!) {
    project(name: $project, entityName: $entity) { internalId }
}"""
_RUNS = """query Runs($entity: String!, $project: String!, $filters: JSONString, $cursor: String) {
    project(name: $project, entityName: $entity) {
        runs(filters: $filters, first: 500, after: $cursor) {
            edges { node { name } }
            pageInfo { endCursor hasNextPage }
        }
    }
}"""
_VIEW = """query View($entity: String!, $project: String!, $kind: String, $name: String) {
    project(name: $project, entityName: $entity) {
        allViews(viewType: $kind, viewName: $name) {
            edges { node { id name displayName description spec } }
        }
    }
}"""
_VIEW_BY_ID = """query SpecificReport($id: ID!) {
    view(id: $id) { id type name displayName description spec }
}"""
_SAVE = """mutation UpsertView($id: ID, $entity: String, $project: String, $kind: String,
        $name: String, $title: String, $description: String, $spec: String) {
    upsertView(input: {id: $id, entityName: $entity, projectName: $project, type: $kind,
            name: $name, displayName: $title, description: $description, spec: $spec,
            createdUsing: WANDB_SDK}) {
        view { id name displayName description spec }
    }
}"""


@dataclass(frozen=True)
class View:
    """A report or a workspace, as the server has it."""

    id: str
    """The server's; empty: it has none of it yet."""
    kind: Kind
    name: str
    """Ours, by which it is found again."""
    title: str
    description: str
    spec: dict[str, Any]


class Server:
    """A W&B server, asked with one account's key."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._session = requests.Session()
        self._session.trust_env = True
        self._session.auth = ("api", account.api_key)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def place(self) -> Place:
        """The project of the account; of the key's owner, where no entity was named.

        Raises:
            CannotPublish: the key is refused, the server cannot be reached, or has no such
                project.
        """
        entity = self._account.entity
        if entity is None:
            entity = (self._ask(_VIEWER).get("viewer") or {}).get("entity")
        if not entity:
            raise CannotPublish("W&B does not say whose the key is: set WANDB_ENTITY")
        project = self._account.project
        found = self._ask(_PROJECT, {"entity": entity, "project": project}).get("project")
        if not found:
            raise CannotPublish(
                f"W&B has no project {entity}/{project}, or does not show it to this key: no run "
                "was sent there yet, or WANDB_ENTITY and WANDB_PROJECT were others when they were"
            )
        return Place(entity, project, str(found["internalId"]))

    def runs_among(self, place: Place, ids: Iterable[str]) -> set[str]:
        """Which of these runs the project has."""
        filters = json.dumps({"name": {"$in": list(ids)}})
        found: set[str] = set()
        cursor = None
        while True:
            asked = {**_of(place), "filters": filters, "cursor": cursor}
            runs = (self._ask(_RUNS, asked).get("project") or {}).get("runs")
            if not runs:
                return found
            found |= {edge["node"]["name"] for edge in runs["edges"]}
            if not runs["pageInfo"]["hasNextPage"]:
                return found
            cursor = runs["pageInfo"]["endCursor"]

    def find(self, place: Place, kind: Kind, name: str) -> View | None:
        """The view of that name; None where there is none."""
        answer = self._ask(_VIEW, {**_of(place), "kind": kind, "name": name})
        views = (answer.get("project") or {}).get("allViews") or {"edges": []}
        nodes = [edge["node"] for edge in views["edges"] if edge["node"]["name"] == name]
        return _view(nodes[0], kind) if nodes else None

    def find_by_id(self, kind: Kind, view_id: str) -> View | None:
        """The view of that id; None where it was deleted, or is none of this kind."""
        node = self._ask(_VIEW_BY_ID, {"id": view_id}).get("view")
        return _view(node, kind) if node and node.get("type") == kind else None

    def save(self, place: Place, view: View) -> View:
        """Make a view, or change the one that `id` names; returns it as it is there now."""
        asked = {
            **_of(place),
            "id": view.id or None,
            "kind": view.kind,
            "name": view.name,
            "title": view.title,
            "description": view.description,
            "spec": json.dumps(view.spec, allow_nan=False),
        }
        saved = (self._ask(_SAVE, asked).get("upsertView") or {}).get("view")
        if not saved:
            raise CannotPublish(f"W&B did not save {view.title!r} in {place.path}")
        return _view(saved, view.kind)

    def link(self, place: Place, view: View) -> str:
        """Where people see a view. It stays, as the id in it does, whatever the title becomes."""
        app = wandb.Settings(base_url=self._account.base_url).app_url.rstrip("/")
        if view.kind == WORKSPACE:
            return f"{app}/{place.path}?nw={view.name.removeprefix('nw-').removesuffix('-v')}"
        words = re.sub(r"[^A-Za-z0-9._]+", "-", view.title).strip("-") or "report"
        return f"{app}/{place.path}/reports/{words}--{view.id.rstrip('=')}"

    def _ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        url = self._account.base_url
        try:
            response = self._session.post(
                f"{url}/graphql",
                json={"query": query, "variables": variables or {}},
                timeout=REQUEST_SECONDS,
            )
        except requests.RequestException as error:
            raise CannotPublish(f"W&B at {url} cannot be reached: {_why(error)}") from None
        if response.status_code in (401, 403):
            raise CannotPublish(f"W&B at {url} refuses the key: check WANDB_API_KEY")
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not response.ok or not isinstance(answer, dict):
            raise CannotPublish(f"W&B at {url} answered {response.status_code}: try again later")
        if answer.get("errors"):
            told = "; ".join(str(each.get("message", each)) for each in answer["errors"])
            raise CannotPublish(f"W&B at {url} refused: {told}")
        return answer.get("data") or {}


def _of(place: Place) -> dict[str, str]:
    return {"entity": place.entity, "project": place.project}


def _view(node: Mapping[str, Any], kind: Kind) -> View:
    return View(
        id=node["id"],
        kind=kind,
        name=node["name"],
        title=node["displayName"] or "",
        description=node["description"] or "",
        spec=json.loads(node["spec"]),
    )


def _why(error: Exception) -> str:
    return "it does not answer in time" if isinstance(error, requests.Timeout) else "no connection"
