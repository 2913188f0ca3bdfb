"""What people write on a run's page in W&B: read afresh, and written without anything else.

The SDK's own `Run.update()` would send the whole configuration and the summary again, over what the
run's tracker has sent meanwhile. So this goes the way that its objects take, which is not public.
"""

from dataclasses import dataclass
from typing import Any, Final

_READ: Final = """
query Run($project: String!, $entity: String!, $name: String!) {
    project(name: $project, entityName: $entity) {
        run(name: $name) { id name displayName tags notes }
    }
}
"""
_WRITE: Final = """
mutation UpsertBucket($id: String!, $tags: [String!], $notes: String) {
    upsertBucket(input: {id: $id, tags: $tags, notes: $notes}) {
        bucket { id name displayName tags notes }
    }
}
"""
_RENAME: Final = """
mutation UpsertBucket($id: String!, $name: String) {
    upsertBucket(input: {id: $id, displayName: $name}) { bucket { id } }
}
"""


@dataclass(frozen=True)
class PageFields:
    """Name, tags and notes of a run."""

    id: str
    """W&B's own, for writing."""
    name: str
    tags: list[str]
    notes: str


def read_fields(api: Any, entity: str, project: str, run_id: str) -> PageFields | None:
    """What stands on a page now; None where there is no such run that we can see.

    Args:
        api: a `wandb.Api`.
        entity: whose project it is.
        project: the project.
        run_id: the run's id.

    Raises:
        Exception: as the SDK says it.
    """
    variables = {"entity": entity, "project": project, "name": run_id}
    found = api._service_api.execute_graphql(_READ, variables)
    run = ((found or {}).get("project") or {}).get("run")
    return None if run is None else _fields(run)


def write_fields(api: Any, fields: PageFields) -> PageFields:
    """Put tags and notes in the place of what stands there.

    W&B knows no conditions: what a person adds between the read and the write, a fraction of a
    second, is lost.

    Raises:
        Exception: as the SDK says it.
    """
    variables = {"id": fields.id, "tags": fields.tags, "notes": fields.notes}
    found = api._service_api.execute_graphql(_WRITE, variables)
    return _fields(((found or {}).get("upsertBucket") or {}).get("bucket") or {})


def rename(api: Any, fields: PageFields) -> None:
    """Put the name in the place of what stands there.

    Raises:
        Exception: as the SDK says it.
    """
    api._service_api.execute_graphql(_RENAME, {"id": fields.id, "name": fields.name})


def _fields(run: dict[str, Any]) -> PageFields:
    return PageFields(
        id=run.get("id") or "",
        name=run.get("displayName") or run.get("name") or "",
        tags=list(run.get("tags") or []),
        notes=run.get("notes") or "",
    )
