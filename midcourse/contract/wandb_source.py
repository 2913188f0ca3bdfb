"""Where in W&B a checkpoint is: how people write it, and what is meant by it."""

import re
from typing import Annotated, Final
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, ValidationError

from midcourse.contract.base import Record
from midcourse.contract.names import RunId

DEFAULT_URL: Final = "https://api.wandb.ai"
"""The server that is meant where `WANDB_BASE_URL` names none."""
ARTIFACT_TYPE: Final = "model"
LATEST: Final = "latest"
EXAMPLES: Final = (
    "entity/project/run@best, entity/project/run-checkpoint:v3, or the link of a run's or an "
    "artifact's page"
)

_SUFFIX: Final = "-checkpoint"
_VERSION: Final = r"[A-Za-z0-9_.-]{1,128}"


class WandbSource(Record):
    """One version of the artifact that a run's checkpoints are logged as."""

    entity: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$")]
    project: Annotated[
        str, Field(pattern=r"^[^./\\#?%:\x00-\x1f\x7f][^/\\#?%:\x00-\x1f\x7f]{0,127}$")
    ]
    run: RunId
    version: Annotated[str, Field(pattern=f"^{_VERSION}$")] = LATEST
    """`best`, `latest`, `step-500`, `v3`, or another alias that it was given."""

    def __str__(self) -> str:
        return f"{self.place}@{self.version}"

    @property
    def place(self) -> str:
        """Of the run."""
        return f"{self.entity}/{self.project}/{self.run}"

    @property
    def artifact(self) -> str:
        """Its name in W&B."""
        return f"{self.entity}/{self.project}/{collection_of(self.run)}:{self.version}"

    def page(self, base_url: str = DEFAULT_URL) -> str:
        """The address of the run's page."""
        return f"{pages_of(base_url)}/{quote(self.entity)}/{quote(self.project)}/runs/{self.run}"


def collection_of(run: str) -> str:
    """The artifact that has a run's checkpoints as its versions."""
    return f"{run}{_SUFFIX}"


def pages_of(base_url: str) -> str:
    """Where people see what a server has: W&B's own serves programs at another name."""
    return base_url.rstrip("/").replace("://api.wandb.", "://wandb.")


def parse_source(text: str, base_url: str = DEFAULT_URL) -> WandbSource:
    """What is meant by a run, an artifact's name, or a link to the page of either.

    Args:
        text: such as `entity/project/run@best`. Without a version `latest` is meant.
        base_url: of the server; a link must be one of its pages.

    Raises:
        ValueError: it names no run's checkpoint, or one on another server; in one sentence.
    """
    if "://" in text:
        return _parse_link(text, base_url)
    *place, last = text.split("/")
    if len(place) != 2:
        raise ValueError(f"{text!r} is no checkpoint in W&B; write {EXAMPLES}")
    run, at, version = last.partition("@")
    if not at:
        run, colon, version = last.partition(":")
        if colon or run.endswith(_SUFFIX):
            run = _run_of(run, text)
    return _source(text, place[0], place[1], run, version or LATEST)


def _parse_link(text: str, base_url: str) -> WandbSource:
    link, at, version = text.rpartition("@")
    if not at or not re.fullmatch(_VERSION, version):  # or else it belongs to the link
        link, version = text, ""
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise ValueError(f"{text!r} is no link: {error}") from None
    here = urlsplit(pages_of(base_url))
    if parts.netloc.lower() not in (here.netloc.lower(), urlsplit(base_url).netloc.lower()):
        raise ValueError(
            f"{text!r} is a page of {parts.netloc or 'no server'}, and the server that is used "
            f"here is {here.netloc}; WANDB_BASE_URL names another"
        )
    match [unquote(part) for part in parts.path.strip("/").split("/")]:
        case [entity, project, "runs", run, *_]:
            return _source(text, entity, project, run, version or LATEST)
        case [entity, project, "artifacts", str(kind), collection, *more] if kind == ARTIFACT_TYPE:
            found = version or (more[0] if more else LATEST)
            return _source(text, entity, project, _run_of(collection, text), found)
    raise ValueError(
        f"{text!r} is the page of no run and of no checkpoint; those are such as "
        f"{pages_of(base_url)}/entity/project/runs/<id> and "
        f"…/artifacts/{ARTIFACT_TYPE}/<id>{_SUFFIX}/v3"
    )


def _run_of(collection: str, text: str) -> str:
    if not collection.endswith(_SUFFIX):
        raise ValueError(
            f"{text!r} names no run's checkpoints: those are versions of an artifact that is "
            f"called <run id>{_SUFFIX}"
        )
    return collection.removesuffix(_SUFFIX)


_PARTS: Final = {
    "entity": "an entity's name",
    "project": "a project's name",
    "run": "the id of a run of Midcourse",
    "version": "a version, such as best, latest, step-500 or v3",
}


def _source(text: str, entity: str, project: str, run: str, version: str) -> WandbSource:
    try:
        return WandbSource(entity=entity, project=project, run=run, version=version)
    except ValidationError as error:
        part = str(error.errors()[0]["loc"][0])
        said = {"entity": entity, "project": project, "run": run, "version": version}[part]
        raise ValueError(f"in {text!r}, {said!r} is not {_PARTS[part]}") from None
