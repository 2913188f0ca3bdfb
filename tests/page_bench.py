"""W&B's pages on a bench: a server in memory with all that can go wrong, and runs on its pages."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from control_bench import Bench
from sqlalchemy import select

from control_api.lease import TAGS_LEASE, trouble_of
from control_api.page_tags.bridge import Bridge
from control_api.page_tags.sdk_process import PagesTroubled
from control_api.tables import PageTagRow
from midcourse.contract.pages import (
    LookAtPages,
    MarkPage,
    Page,
    PageMarked,
    PagesSeen,
    PageTrouble,
    TroubleKind,
)
from midcourse.contract.runs import TrackingStatus
from midcourse.tracking.page import replaced, with_line

ENTITY, PROJECT = "lab", "digits"


class Crash(BaseException):
    """The bridge's process dies here."""


def address(run_id: str, entity: str = ENTITY, project: str = PROJECT) -> str:
    return f"https://wandb.example/{entity}/{project}/runs/{run_id}"


@dataclass
class FakePages:
    """The server and the process that talks to it, together."""

    tags: dict[str, list[str]] = field(default_factory=dict)
    """Run → the tags of its page; a run without one has no page."""
    notes: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    trouble: TroubleKind | None = None
    """What every request comes to."""
    mark_trouble: TroubleKind | None = None
    """What every mark comes to."""
    forgets: bool = False
    """Marks are answered as if they were taken, and are not."""
    old: dict[str, list[str]] | None = None
    """What the next look shows in place of the tags that there are."""
    looks: list[LookAtPages] = field(default_factory=list)
    marks: list[MarkPage] = field(default_factory=list)
    before_look: Callable[[], None] = lambda: None
    before_mark: Callable[[], None] = lambda: None
    after_mark: Callable[[], None] = lambda: None
    closed: bool = False

    def look(self, request: LookAtPages) -> PagesSeen:
        self.looks.append(request)
        self.before_look()
        self._fail(self.trouble)
        shown, self.old = self.old or self.tags, None
        runs = [run for run in request.runs if run in shown]
        pages = [Page(run=run, tags=shown[run], owner=self.owners.get(run)) for run in runs]
        return PagesSeen(pages=pages)

    def mark(self, request: MarkPage) -> PageMarked:
        self.marks.append(request)
        self.before_mark()
        self._fail(self.trouble or self.mark_trouble)
        if request.run not in self.tags:
            self._fail(TroubleKind.REFUSED)
        tags = replaced(self.tags[request.run], request.remove, request.add)
        if not self.forgets:
            self.tags[request.run] = tags
            notes = self.notes.get(request.run, "")
            self.notes[request.run] = with_line(notes, request.note)
        self.after_mark()
        return PageMarked(tags=tags)

    def close(self) -> None:
        self.closed = True

    def _fail(self, why: TroubleKind | None) -> None:
        if why is not None:
            raise PagesTroubled(PageTrouble(why=why, text=f"bench: {why}"))


class PageBench:
    """A control API on a bench, one run on a page, and bridges that go a round when told to."""

    def __init__(self, bench: Bench):
        self.bench = bench
        self.pages = FakePages()
        self.bridge = self.another()
        self.trainer = self.on_a_page(bench.submit())

    def another(self):
        """A bridge of its own, as on another server."""
        return Bridge(self.bench.settings, self.bench.database, self.pages, self.now)

    def now(self):
        return self.bench.clock

    def on_a_page(self, trainer, *, entity=ENTITY, project=PROJECT, more=()):
        """Have a trainer start, and its tracker say where its page is."""
        trainer.say(trainer.started(), *more)
        tracking = TrackingStatus(mode="online", url=address(trainer.run, entity, project))
        answer = trainer.beat(tracking=tracking.model_dump(mode="json"))
        assert answer.status_code == 200, answer.text
        self.pages.tags[trainer.run] = ["baseline"]
        return trainer

    @property
    def run(self):
        return self.trainer.run

    @property
    def tags(self):
        return self.pages.tags[self.run]

    @property
    def notes(self):
        return self.pages.notes.get(self.run, "")

    def add(self, *tags, run=None):
        """A person adds tags."""
        self.pages.tags[run or self.run] += tags

    def round(self, *, later=10.0, bridge=None):
        self.bench.clock += timedelta(seconds=later)
        (bridge or self.bridge).go_round()

    def commands(self, run=None):
        """What people asked for: kind and actor."""
        found = self.bench.get(f"/runs/{run or self.run}/commands")["commands"]
        return [each["action"]["kind"] for each in found if each["seq"] > 0]

    def apply(self, state="applied", **receipt):
        """The trainer takes its commands, and says what became of them."""
        for command in self.trainer.poll(after=0):
            self.trainer.say(self.trainer.done(command, state, **receipt))

    def rows(self, kind=PageTagRow):
        with self.bench.database.reading() as session:
            return list(session.scalars(select(kind)))

    def trouble(self):
        with self.bench.database.reading() as session:
            return trouble_of(session, TAGS_LEASE)
