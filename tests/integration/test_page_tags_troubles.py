"""When W&B does not do its part: nothing is lost, and nobody is kept waiting."""

import pytest
from control_bench import status
from page_bench import ENTITY, PROJECT, PageBench, address

from control_api.page_tags.bridge import RATE_LIMIT_PAUSE
from control_api.page_tags.words import Verb
from control_api.tables import RunRow
from midcourse.contract.pages import TroubleKind
from midcourse.contract.runs import RunStatus


@pytest.fixture
def on_page(make_bench):
    """A run on a page, and a bridge that takes every verb."""
    return PageBench(make_bench(tag_verbs=frozenset(Verb)))


def test_an_outage_of_an_hour_between_the_command_and_the_mark_repeats_nothing(on_page):
    on_page.add("mc:pause")
    on_page.round()
    on_page.apply()
    on_page.pages.mark_trouble = TroubleKind.AWAY
    for _ in range(360):
        on_page.round()
    assert on_page.commands() == ["pause"]
    assert on_page.tags == ["baseline", "mc:pause"]
    on_page.pages.mark_trouble = None
    on_page.round(later=600)
    assert on_page.tags == ["baseline", "mc:done:pause#1"]
    assert on_page.commands() == ["pause"]


def test_a_server_that_is_away_is_asked_later_each_time_and_no_command_is_lost(on_page):
    on_page.pages.trouble = TroubleKind.AWAY
    on_page.add("mc:pause")
    for _ in range(3600):
        on_page.round(later=1)
    assert 5 < len(on_page.pages.looks) < 15
    assert on_page.trouble() == "bench: away"
    on_page.pages.trouble = None
    on_page.round(later=600)
    assert on_page.commands() == ["pause"]
    assert on_page.trouble() is None


def test_a_rate_limit_is_given_a_minute_at_least(on_page):
    on_page.pages.trouble = TroubleKind.TOO_MANY_REQUESTS
    on_page.round()
    on_page.pages.trouble = None
    on_page.round(later=RATE_LIMIT_PAUSE.total_seconds() - 1)
    assert len(on_page.pages.looks) == 1
    on_page.round(later=1)
    assert len(on_page.pages.looks) == 2


def test_a_key_that_is_refused_is_told_in_the_gauges_and_not_in_readiness(on_page):
    on_page.round()
    on_page.pages.trouble = TroubleKind.KEY_REFUSED
    on_page.round()
    on_page.bench.round()
    headers = {"Authorization": f"Bearer {on_page.bench.token}"}
    text = on_page.bench.client.get("/metrics", headers=headers).text
    assert "midcourse_page_tags_trouble 1.0" in text
    assert 'midcourse_page_tags{state="obeyed"} 0.0' in text
    assert "midcourse_page_tags_look_age_seconds " in text
    assert on_page.bench.client.get("/readyz").status_code == 200


def test_where_tags_are_off_there_are_no_gauges_of_them(make_bench):
    bench = make_bench()
    headers = {"Authorization": f"Bearer {bench.token}"}
    assert "page_tags" not in bench.client.get("/metrics", headers=headers).text


def test_a_page_that_cannot_be_written_does_not_hold_up_others(on_page):
    other = on_page.on_a_page(on_page.bench.submit())
    on_page.add("mc:paus")
    on_page.add("mc:paus", run=other.run)
    on_page.round(later=0)
    gone = on_page.pages.tags.pop(on_page.run)
    on_page.add("mc:resum", run=other.run)
    on_page.pages.tags[on_page.run] = gone
    on_page.round()
    assert on_page.pages.tags[other.run] == ["baseline", "mc:refused:paus#1", "mc:refused:resum#2"]


def test_a_project_that_cannot_be_seen_does_not_hold_up_others(on_page):
    other = on_page.on_a_page(on_page.bench.submit(), project="other")
    on_page.add("mc:pause")
    on_page.add("mc:pause", run=other.run)

    def refuse_one():
        if on_page.pages.looks[-1].place.project == PROJECT:
            on_page.pages._fail(TroubleKind.REFUSED)

    on_page.pages.before_look = refuse_one
    on_page.round()
    assert on_page.commands() == []
    assert on_page.commands(other.run) == ["pause"]
    assert on_page.trouble() == f"{ENTITY}/{PROJECT}: bench: refused"


def test_a_server_that_forgets_what_it_was_told_gets_nothing_obeyed_twice(on_page):
    on_page.add("mc:pause")
    on_page.round()
    on_page.apply()
    on_page.pages.forgets = True
    for _ in range(100):
        on_page.round()
    assert on_page.commands() == ["pause"]
    assert len(on_page.pages.marks) < 15


def test_a_run_whose_page_vanishes_and_comes_back_is_not_commanded_again(on_page):
    on_page.add("mc:pause")
    on_page.round()
    page = on_page.pages.tags.pop(on_page.run)
    for _ in range(20):
        on_page.round()
    on_page.pages.tags[on_page.run] = page
    on_page.round()
    assert on_page.commands() == ["pause"]


def test_a_thousand_runs_cost_few_requests(on_page):
    with on_page.bench.database.writing() as session:
        for number in range(999):
            run_id = f"r{number}"
            session.add(
                RunRow(
                    id=run_id,
                    experiment="digits",
                    config={},
                    status=RunStatus.RUNNING,
                    created_by="admin",
                    created_at=on_page.now(),
                    tracking={"mode": "online", "url": address(run_id)},
                )
            )
    on_page.round()
    assert [len(look.runs) for look in on_page.pages.looks] == [200] * 5


def test_runs_without_a_page_are_not_looked_for(on_page):
    on_page.bench.submit()
    on_page.round()
    assert on_page.pages.looks[0].runs == [on_page.run]


def test_the_tags_of_a_deleted_run_go_with_it(on_page):
    on_page.add("mc:paus")
    on_page.round()
    on_page.trainer.say(status("finished", step=9))
    on_page.trainer.end(0)
    on_page.bench.round()
    answer = on_page.bench.ask("DELETE", f"/runs/{on_page.run}")
    assert answer.status_code == 200, answer.text
    on_page.round()
    assert on_page.rows() == []
