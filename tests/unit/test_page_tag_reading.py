"""A look at a page may be of an old state: no order of looks has a tag obeyed twice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.columns import TagState
from control_api.page_tags.obeying import Sighting
from control_api.page_tags.patience import Patience
from control_api.page_tags.reading import AT_ONCE, SETTLED, CameBack, Gone, findings, marker_of
from control_api.page_tags.watched import place_of
from control_api.tables import PageTagRow
from midcourse.contract.pages import Page, Place

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLACE = Place(entity="lab", project="digits")
LATER = timedelta(minutes=5)


def row(tag="mc:pause", number=1, state=TagState.DONE, shown_at=NOW):
    return PageTagRow(run_id="r1", number=number, tag=tag, state=state, shown_at=shown_at)


def found(tags, *rows, now=NOW + LATER, copied=()):
    known = {(each.run_id, each.tag): each for each in rows}
    page = Page(run="r1", tags=tags)
    return list(findings(page, PLACE, known, {("r1", tag) for tag in copied}, now))


def kinds(*given, **more):
    return [type(finding) for finding in found(*given, **more)]


def test_only_tags_that_ask_for_something_are_seen():
    tags = ["baseline", "mc:done:stop#4", "mc:refused:stop#5", "mc:pause", "mc:pause", "x" * 300]
    [finding] = found([*tags, "mc:" + "x" * 300])
    assert isinstance(finding, Sighting)
    assert (finding.tag, finding.before, finding.actor) == ("mc:pause", None, "W&B page")


@pytest.mark.parametrize("state", TagState)
def test_what_waits_to_be_told_is_left_alone_whatever_the_page_shows(state):
    waits = row(state=state, shown_at=None)
    assert found(["mc:pause"], waits) == []
    assert found([], waits) == []
    assert found(["mc:done:pause#1", "mc:pause"], waits) == []


def test_once_told_the_tag_beside_what_was_told_is_a_new_wish():
    [finding] = found(["mc:done:pause#1", "mc:pause"], row())
    assert isinstance(finding, Sighting)
    assert finding.before == 1


@pytest.mark.parametrize("later", [timedelta(seconds=1), LATER], ids=["at once", "later"])
def test_the_tag_without_what_was_told_is_an_old_state(later):
    assert kinds(["mc:pause"], row(), now=NOW + later) == [CameBack]
    assert kinds(["mc:pause", "mc:done:pause#7"], row(number=8), now=NOW + later) == [CameBack]


def test_what_was_told_may_be_taken_away():
    assert kinds([], row()) == [Gone]
    assert kinds(["mc:done:pause#1"], row()) == []
    assert kinds([], row(), now=NOW + SETTLED / 2) == [], "it may be a state from before"


def test_of_very_many_tags_some_are_obeyed_after_each_look():
    assert len(found([f"mc:lr=0.{number:03}" for number in range(1000)])) == AT_ONCE


def test_a_tag_from_which_the_run_just_came_is_marked_as_a_copy():
    [copy, own] = found(["mc:undo", "mc:pause"], copied=["mc:undo"])
    assert (copy.is_copy, own.is_copy) == (True, False)
    [again] = found(["mc:refused:undo#1", "mc:undo"], row("mc:undo", state=TagState.REFUSED))
    assert not again.is_copy


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_no_order_of_stale_looks_has_one_wish_obeyed_twice(staleness, data):
    """The page's history, looked at through a glass that shows some earlier state of it.

    A person adds the tag once; it is told by us. Whatever the looks show, within the time in which
    we allow for old states, it is obeyed once.
    """
    states = [[], ["mc:pause"]]
    known, obeyed = None, 0
    for number, stale in enumerate(staleness):
        now = NOW + number * SETTLED / len(staleness)
        shown = states[max(0, len(states) - 1 - stale)]
        for finding in found(shown, *([known] if known else []), now=now):
            if isinstance(finding, Sighting):
                obeyed += 1
                known = row(number=obeyed, shown_at=None)
            elif isinstance(finding, CameBack):
                known.shown_at = None
            else:
                known = None
        if known and known.shown_at is None and data.draw(st.booleans()):
            states.append([marker_of(known)])
            known.shown_at = now
    assert obeyed <= 1


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://wandb.ai/lab/digits/runs/r1", ("lab", "digits")),
        ("https://wandb.ai/lab/my%20digits/runs/r1?x=1", ("lab", "my digits")),
        ("http://host:8080/base/lab/digits/runs/r1/", ("lab", "digits")),
        ("https://wandb.ai/lab/digits", None),
        ("https://wandb.ai/lab/digits/runs/", None),
        ("https://wandb.ai//digits/runs/r1", None),
        ("https://wandb.ai/" + "l" * 300 + "/digits/runs/r1", None),
        ("http://[", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_where_a_page_is(url, place):
    found = place_of(url)
    assert (found and (found.entity, found.project)) == place


def test_pauses_double_up_to_a_limit_and_are_forgotten():
    patience = Patience(timedelta(seconds=10), timedelta(minutes=10))
    pauses = [patience.failed("x", NOW).total_seconds() for _ in range(100)]
    assert pauses[:4] == [10, 20, 40, 80]
    assert pauses[-1] == 600
    assert not patience.is_over("x", NOW)
    assert patience.is_over("x", NOW + timedelta(minutes=10))
    assert patience.is_over("other", NOW)
    patience.succeeded("x")
    assert patience.is_over("x", NOW)
    assert patience.failed("x", NOW, timedelta(minutes=1)) == timedelta(minutes=1)
