"""`python -m midcourse.tracking.page`: read and write the tags of runs in W&B, for another process.

Each line of standard input is a request, each line of standard output its answer
(`midcourse.contract.pages`). The control API starts it, as it must not load the SDK itself. It ends
at the end of its input.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from midcourse.contract.pages import (
    REQUESTS,
    LookAtPages,
    MarkPage,
    Page,
    PageAnswer,
    PageMarked,
    PageRequest,
    PagesSeen,
    PageTrouble,
    TroubleKind,
)
from midcourse.tracking.page_fields import read_fields, write_fields
from midcourse.tracking.page_trouble import NoKey, NoPage, trouble_of
from midcourse.tracking.settings import TrackingSettings

REQUEST_SECONDS = 20
"""How long one request of the SDK may take, its own second try included."""
AT_ONCE = 200
"""Runs that one request asks for."""


def main() -> int:
    """Answer requests until there are no more."""
    settings = TrackingSettings.read()
    with tempfile.TemporaryDirectory(prefix="midcourse-page-") as folder:
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        answers = _keep_standard_output()
        settings.apply(os.environ, Path(folder))
        # One more try, in which the SDK honours Retry-After; who asked decides about others.
        os.environ["WANDB_X_GRAPHQL_RETRY_MAX"] = "1"
        os.environ["WANDB_SILENT"] = "true"
        serve(Pages(settings, lambda: _open(settings)), sys.stdin, answers)
    return 0


def serve(pages: "Pages", requests: Iterable[str], answers: TextIO) -> None:
    """Answer each line with a line."""
    for line in requests:
        answers.write(pages.answer(line).to_json() + "\n")
        answers.flush()


class Pages:
    """The pages of runs, by way of the SDK's public API."""

    def __init__(self, settings: TrackingSettings, open_api: Callable[[], Any]) -> None:
        """Nothing is asked yet.

        Args:
            settings: where the key is from.
            open_api: makes a `wandb.Api`, which asks the server whether the key is good.
        """
        self._settings = settings
        self._open = open_api
        self._api: Any = None

    def answer(self, line: str) -> PageAnswer:
        """Do what a line asks for; whatever goes wrong is an answer, too."""
        try:
            request = REQUESTS.validate_json(line)
        except ValidationError as error:
            return PageTrouble(why=TroubleKind.REFUSED, text=f"this is no request: {error}")
        try:
            return self._do(request)
        except Exception as error:  # the SDK raises many kinds
            return trouble_of(error, self._settings)

    def _do(self, request: PageRequest) -> PageAnswer:
        if self._api is None:
            self._api = self._open()
        return self.look(request) if isinstance(request, LookAtPages) else self.mark(request)

    def look(self, wanted: LookAtPages) -> PagesSeen:
        """What stands on some pages, in one request for many of them.

        Raises:
            Exception: as the SDK says it.
        """
        self._api.flush()  # it would remember what it saw before
        place, pages = f"{wanted.place.entity}/{wanted.place.project}", []
        for first in range(0, len(wanted.runs), AT_ONCE):
            some = wanted.runs[first : first + AT_ONCE]
            found = self._api.runs(place, filters={"name": {"$in": some}}, per_page=AT_ONCE)
            pages += [_page(run, wanted.place.entity) for run in found if run.id in some]
        return PagesSeen(pages=pages)

    def mark(self, wanted: MarkPage) -> PageMarked:
        """Put a tag in the place of others, and a line below the notes.

        Raises:
            NoPage: the run has none that we can see.
            Exception: as the SDK says it.
        """
        entity, project = wanted.place.entity, wanted.place.project
        before = read_fields(self._api, entity, project, wanted.run)
        if before is None:
            raise NoPage(f"there is no run {wanted.run} in {entity}/{project}")
        tags = replaced(before.tags, wanted.remove, wanted.add)
        after = replace(before, tags=tags, notes=with_line(before.notes, wanted.note))
        if after != before:
            after = write_fields(self._api, after)
        return PageMarked(tags=_readable(after.tags))


def replaced(tags: list[str], remove: list[str], add: str) -> list[str]:
    """Tags with one of them in the place of others; the rest stays, in its order."""
    kept: list[str] = []
    for tag in tags:
        now = add if tag in remove else tag
        if now != add or add not in kept:
            kept.append(now)
    return kept if add in kept else [*kept, add]


def with_line(notes: str, line: str | None) -> str:
    """Notes with a line below them, unless it stands there."""
    if line is None or line in notes.splitlines():
        return notes
    return f"{notes}\n{line}" if notes and not notes.endswith("\n") else f"{notes}{line}"


def _page(run: Any, entity: str) -> Page:
    """A run of the SDK as what stands on its page.

    Nobody says who added a tag. But people and teams share one space of names: where a project
    belongs to a person, it is that person's page.
    """
    creator = (run._attrs.get("user") or {}).get("username")
    return Page(
        run=run.id,
        tags=_readable(run.tags or []),
        owner=creator if creator == entity else None,
    )


def _readable(tags: Iterable[Any]) -> list[str]:
    """Tags that lines and databases can hold; no page of W&B's makes others."""
    return [tag for tag in tags if isinstance(tag, str) and _is_text(tag)]


def _is_text(tag: str) -> bool:
    return "\0" not in tag and not any("\ud800" <= letter <= "\udfff" for letter in tag)


def _open(settings: TrackingSettings) -> Any:
    if settings.api_key is None:
        raise NoKey("there is no WANDB_API_KEY")
    import wandb  # after the environment, which it reads

    return wandb.Api(api_key=settings.api_key, timeout=REQUEST_SECONDS)


def _keep_standard_output() -> TextIO:
    """Standard output for the answers alone: what the SDK prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    sys.exit(main())
