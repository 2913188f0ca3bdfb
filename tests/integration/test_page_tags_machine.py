"""Whatever people, servers and crashes do in whatever order: no wish is obeyed twice."""

import contextlib
from datetime import timedelta

import pytest
from control_bench import Bench, status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_bench import Crash, PageBench

from control_api.page_tags.bridge import LEASE_SECONDS
from control_api.page_tags.reading import SETTLED
from control_api.page_tags.words import Verb, is_order
from midcourse.contract.pages import TroubleKind

TAG = "mc:checkpoint"
SECONDS = 10
REMEMBERED = SETTLED - timedelta(seconds=SECONDS)
"""How old a state may be that a look shows, or that a browser writes back."""


class History:
    """What stood on a page, and until when."""

    def __init__(self, on_page):
        self._on_page = on_page
        self._past = []
        self._present = list(on_page.tags)

    def follow(self):
        """Take note of a change."""
        if self._present != self._on_page.tags:
            self._past.append((self._present, self._on_page.now()))
            self._present = list(self._on_page.tags)

    def choose(self, data):
        """One of the states of late, the present one among them."""
        since = self._on_page.now() - REMEMBERED
        late = [tags for tags, until in self._past if until > since]
        return list(data.draw(st.sampled_from([*late, self._present])))


class Happenings:
    """What may happen to one run's page, each a method."""

    def __init__(self, on_page, data):
        self.on_page, self.data = on_page, data
        self.wishes = 0
        self.history = History(on_page)

    def happen(self, names):
        """One after the other; an old browser writes once."""
        for place, name in enumerate(names):
            if name != "old_browser_writes" or name not in names[:place]:
                getattr(self, name)()
                self.history.follow()

    def person_adds(self):
        if TAG not in self.on_page.tags:
            self.on_page.tags.append(TAG)
            self.wishes += 1

    def person_takes_away(self):
        if TAG in self.on_page.tags:
            self.on_page.tags.remove(TAG)

    def person_tidies_up(self):
        self.on_page.tags[:] = [tag for tag in self.on_page.tags if not tag.startswith("mc:done")]

    def old_browser_writes(self):
        self.on_page.tags[:] = self.history.choose(self.data)

    def round(self):
        self.on_page.round(later=self.data.draw(st.sampled_from([1, SECONDS, 70])))

    def is_told(self):
        self.on_page.apply()
        self.on_page.round(later=SECONDS)

    def wish_is_granted(self):
        for happens in (self.person_adds, self.round, self.is_told):
            happens()
            self.history.follow()

    def stale_round(self):
        self.on_page.pages.old = {self.on_page.run: self.history.choose(self.data)}
        self.on_page.round(later=SECONDS)
        self.on_page.pages.old = None

    def mark_fails(self):
        self.on_page.pages.mark_trouble = self.data.draw(st.sampled_from(TroubleKind))
        self.on_page.round(later=SECONDS)
        self.on_page.pages.mark_trouble = None

    def server_is_away(self):
        self.on_page.pages.trouble = self.data.draw(st.sampled_from(TroubleKind))
        self.on_page.round(later=SECONDS)
        self.on_page.pages.trouble = None

    def bridge_dies(self):
        when = self.data.draw(st.sampled_from(["before_look", "before_mark", "after_mark"]))

        def crash():
            raise Crash

        setattr(self.on_page.pages, when, crash)
        with contextlib.suppress(Crash):
            self.on_page.round(later=SECONDS)
        setattr(self.on_page.pages, when, lambda: None)
        self.on_page.bridge = self.on_page.another()

    def another_takes_over(self):
        self.on_page.bridge = self.on_page.another()
        self.on_page.bench.clock += timedelta(seconds=LEASE_SECONDS)


OFTEN = ["wish_is_granted", "person_adds", "round", "is_told"]
SELDOM = [
    "person_takes_away",
    "person_tidies_up",
    "mark_fails",
    "server_is_away",
    "bridge_dies",
    "another_takes_over",
]


@pytest.fixture(scope="module")
def on_page(tmp_path_factory):
    """One control API for all examples; each has a run of its own."""
    bench = Bench(tmp_path_factory.mktemp("home"), tag_verbs=frozenset(Verb))
    yield PageBench(bench)
    bench.close()


@pytest.mark.only_on("sqlite")
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["stale_round", "old_browser_writes"]),
    st.lists(st.integers(0, 19), min_size=4, max_size=15),
    st.data(),
)
def test_no_wish_is_obeyed_twice_and_every_page_is_told_in_the_end(on_page, odd, chosen, data):
    on_page.trainer = on_page.on_a_page(on_page.bench.submit())
    on_page.pages.tags = {on_page.run: on_page.tags}
    on_page.pages.old = None
    on_page.bridge = on_page.another()
    on_page.bench.clock += timedelta(seconds=LEASE_SECONDS)
    try:
        happenings = Happenings(on_page, data)
        names = [*2 * OFTEN, *SELDOM, *6 * [odd]]
        happenings.happen([names[number] for number in chosen])
        heal(on_page)
        assert len(on_page.commands()) <= happenings.wishes
        assert not [tag for tag in on_page.tags if is_order(tag)]
        assert len([tag for tag in on_page.tags if tag.startswith("mc:done")]) <= 1
        assert "baseline" in on_page.tags
    finally:
        on_page.trainer.say(status("finished", step=9))
        on_page.trainer.end(0)
        on_page.bench.round()


def heal(on_page):
    """All is well for long enough that all can be told."""
    on_page.pages.trouble = on_page.pages.mark_trouble = None
    for _ in range(4):
        on_page.apply()
        on_page.round(later=LEASE_SECONDS + 600)
