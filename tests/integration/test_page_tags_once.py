"""A tag is obeyed once, wherever a bridge dies, and whatever old state a page shows."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from page_bench import ENTITY, PROJECT, Crash, PageBench

from control_api.lease import LeaseLost
from control_api.page_tags import bridge, obeying
from control_api.page_tags.bridge import LEASE_SECONDS
from control_api.page_tags.obeying import Obeying, Sighting
from control_api.page_tags.reading import SETTLED
from control_api.page_tags.words import Verb
from midcourse.contract.pages import Place


@pytest.fixture
def on_page(make_bench):
    """A run on a page, and a bridge that takes every verb."""
    return PageBench(make_bench(tag_verbs=frozenset(Verb)))


def test_the_same_tag_beside_what_was_told_counts_anew(on_page):
    for number in (1, 2, 3):
        on_page.add("mc:checkpoint")
        on_page.round()
        on_page.apply()
        on_page.round()
        assert on_page.tags == ["baseline", f"mc:done:checkpoint#{number}"]
    assert on_page.commands() == ["checkpoint"] * 3


def test_after_what_was_told_was_taken_away_it_counts_anew(on_page):
    on_page.add("mc:pause")
    on_page.round()
    on_page.apply()
    on_page.round()
    on_page.tags.remove("mc:done:pause#1")
    on_page.round(later=SETTLED.total_seconds() + 1)
    on_page.add("mc:pause")
    on_page.round()
    assert on_page.commands() == ["pause", "pause"]


def test_an_old_state_of_the_page_is_put_right_and_not_obeyed(on_page):
    """Such as a browser that was opened before, and writes all tags with one that was added."""
    on_page.add("mc:pause")
    on_page.round()
    on_page.apply()
    on_page.round()
    on_page.pages.tags[on_page.run] = ["baseline", "mc:pause", "noisy"]
    for _ in range(3):
        on_page.round()
    assert on_page.commands() == ["pause"]
    assert on_page.tags == ["baseline", "mc:done:pause#1", "noisy"]
    assert "without mc:done:pause#1, and was not obeyed again" in on_page.notes


def test_a_person_who_takes_the_tag_away_before_it_was_seen_commands_nothing(on_page):
    on_page.add("mc:pause")
    on_page.tags.remove("mc:pause")
    on_page.round()
    assert on_page.commands() == []
    assert on_page.rows() == []


def test_a_person_who_takes_the_tag_away_too_late_is_told(on_page):
    on_page.add("mc:pause")
    on_page.round()
    on_page.tags.remove("mc:pause")
    on_page.round()
    on_page.apply()
    on_page.round()
    assert on_page.tags == ["baseline", "mc:done:pause#1"]
    assert on_page.commands() == ["pause"]


def test_what_people_add_between_the_look_and_the_mark_is_kept(on_page):
    on_page.add("mc:paus")
    on_page.pages.before_mark = lambda: on_page.tags.append("noisy")
    on_page.round()
    assert on_page.tags == ["baseline", "mc:refused:paus#1", "noisy"]


def test_a_crash_after_the_command_was_accepted_does_not_repeat_it(on_page):
    on_page.add("mc:pause")

    def crash():
        raise Crash

    on_page.bridge._tell = crash
    with pytest.raises(Crash):
        on_page.round()
    assert on_page.commands() == ["pause"]
    on_page.apply()
    later = on_page.another()
    on_page.round(later=LEASE_SECONDS + 1, bridge=later)
    assert on_page.commands() == ["pause"]
    assert on_page.tags == ["baseline", "mc:done:pause#1"]


@pytest.mark.parametrize("when", ["before_mark", "after_mark"])
def test_a_crash_around_the_mark_does_not_repeat_it(on_page, when):
    on_page.add("mc:pause", "mc:lr=banana")
    on_page.round()
    on_page.apply()

    def crash():
        raise Crash

    setattr(on_page.pages, when, crash)
    with pytest.raises(Crash):
        on_page.round()
    setattr(on_page.pages, when, lambda: None)
    later = on_page.another()
    for _ in range(3):
        on_page.round(later=LEASE_SECONDS + 1, bridge=later)
    assert on_page.commands() == ["pause"]
    assert on_page.tags == ["baseline", "mc:done:pause#1", "mc:refused:lr=banana#2"]
    assert on_page.notes.count("mc:lr=banana") == 1


def test_a_crash_within_the_transaction_leaves_neither_command_nor_tag(on_page, monkeypatch):
    def crash(*_, **__):
        raise Crash

    on_page.add("mc:pause")
    monkeypatch.setattr(obeying, "keep_tag", crash)
    with pytest.raises(Crash):
        on_page.round()
    assert on_page.commands() == []
    monkeypatch.undo()
    on_page.round()
    assert on_page.commands() == ["pause"]


def test_of_two_bridges_one_works(on_page):
    other = on_page.another()
    on_page.add("mc:pause")
    on_page.round()
    on_page.round(bridge=other)
    on_page.round(bridge=other)
    assert len(on_page.pages.looks) == 1
    on_page.bridge.release()
    on_page.round(bridge=other)
    assert len(on_page.pages.looks) == 2
    assert on_page.commands() == ["pause"]


def runs_after(tag):
    """How many there are once a tag was obeyed on the page of the only one."""
    return 2 if tag in ("mc:fork@best", "mc:undo") else 1


@pytest.mark.parametrize("tag", ["mc:pause", "mc:fork@best", "mc:undo", "mc:lr=0.5", "mc:paus"])
def test_two_bridges_that_both_saw_a_tag_obey_it_once(on_page, tag):
    """The first was away for so long, in the middle of its look, that another took over."""
    on_page.trainer.say(on_page.trainer.checkpoint("step-9", best=True))
    other = on_page.another()
    on_page.add(tag)

    def meanwhile():
        on_page.pages.before_look = lambda: None
        on_page.round(later=LEASE_SECONDS + 1, bridge=other)

    on_page.pages.before_look = meanwhile
    with pytest.raises(LeaseLost):
        on_page.round()
    assert len(on_page.rows()) == 1
    assert len(on_page.bench.get("/runs")["runs"]) == runs_after(tag)


@pytest.mark.parametrize("tag", ["mc:pause", "mc:fork@best", "mc:undo", "mc:lr=0.5", "mc:paus"])
def test_even_without_a_lease_the_database_lets_a_tag_be_obeyed_once(on_page, tag, monkeypatch):
    on_page.trainer.say(on_page.trainer.checkpoint("step-9", best=True))
    other = on_page.another()
    monkeypatch.setattr("control_api.lease.Lease.claim", lambda *_: True)
    on_page.add(tag)
    open_tags = bridge.open_tags

    def open_tags_before_another_bridge_acts(session, run_ids):
        known = open_tags(session, run_ids)
        monkeypatch.setattr(bridge, "open_tags", open_tags)
        on_page.round(bridge=other)
        return known

    monkeypatch.setattr(bridge, "open_tags", open_tags_before_another_bridge_acts)
    on_page.round()
    assert len(on_page.pages.looks) == 2
    assert len(on_page.rows()) == 1
    assert len(on_page.commands()) == (0 if tag in ("mc:fork@best", "mc:paus") else 1)
    assert len(on_page.bench.get("/runs")["runs"]) == runs_after(tag)


@pytest.mark.parametrize("tag", ["mc:pause", "mc:fork@best", "mc:undo", "mc:paus"])
def test_of_many_who_obey_a_tag_at_the_same_moment_one_does(on_page, tag):
    on_page.trainer.say(on_page.trainer.checkpoint("step-9", best=True))
    place = Place(entity=ENTITY, project=PROJECT)
    seen = Sighting(run=on_page.run, tag=tag, place=place, owner=None, at=on_page.now())
    bench = on_page.bench
    many = Obeying(bench.database, bench.home, frozenset(Verb), claim=lambda _: None)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(many.obey, [seen] * 6))
    assert len(on_page.rows()) == 1
    assert len(on_page.commands()) == (0 if tag in ("mc:fork@best", "mc:paus") else 1)
    assert len(bench.get("/runs")["runs"]) == runs_after(tag)
    pins = list((bench.home / "runs" / on_page.run).rglob("pins/*"))
    assert len(pins) == (1 if tag == "mc:fork@best" else 0), "of what was undone nothing is left"
