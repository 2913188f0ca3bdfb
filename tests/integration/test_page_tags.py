"""Tags on W&B's pages command runs, and the pages are told what became of it."""

import pytest
from control_bench import status
from page_bench import PageBench

from control_api.page_tags.watched import ENDED_FOR
from control_api.page_tags.words import Verb
from control_api.tables import AuditRow


@pytest.fixture
def on_page(make_bench):
    """A run on a page, and a bridge that takes every verb."""
    return PageBench(make_bench(tag_verbs=frozenset(Verb)))


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        ("mc:pause", {"kind": "pause"}),
        ("mc:resume", {"kind": "resume", "steps": None}),
        ("mc:stop", {"kind": "stop"}),
        ("mc:checkpoint", {"kind": "checkpoint", "pin": True}),
        ("mc:lr=1e-4", {"kind": "set", "changes": {"optimizer.lr": 1e-4}}),
        ("mc:optimizer.lr=1e-4", {"kind": "set", "changes": {"optimizer.lr": 1e-4}}),
        ("mc:mixup=0.3", {"kind": "set", "changes": {"mixup": 0.3}}),
    ],
)
def test_a_tag_becomes_a_command_and_then_what_became_of_it(on_page, tag, action):
    on_page.add(tag)
    on_page.round()
    [command] = on_page.bench.get(f"/runs/{on_page.run}/commands")["commands"]
    assert command["action"] == action
    assert command["actor"] == "W&B page"
    assert command["reason"] == f"the tag {tag} on its page in W&B"
    assert on_page.tags == ["baseline", tag], "it is not known yet what became of it"
    on_page.apply()
    on_page.round(later=1)
    assert on_page.tags == ["baseline", f"mc:done:{tag[3:]}#1"]
    assert on_page.notes == ""
    on_page.round()
    on_page.round(later=600)
    assert len(on_page.commands()) == 1


def test_the_audit_has_it_as_it_has_requests(on_page):
    on_page.pages.owners[on_page.run] = "olga"
    on_page.add("mc:pause", "mc:lr=banana")
    on_page.round()
    accepted, refused = [row for row in on_page.rows(AuditRow) if row.actor == "wandb:olga"]
    assert (accepted.action, accepted.seq, accepted.outcome, accepted.role) == (
        "pause",
        1,
        "accepted",
        "operator",
    )
    assert (refused.action, refused.outcome, refused.subject) == ("set", "refused", "mc:lr=banana")
    assert (refused.status, refused.problem) == (422, "/problems/invalid-input")
    assert (
        on_page.bench.get(f"/runs/{on_page.run}/commands")["commands"][0]["actor"] == "wandb:olga"
    )


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("mc:lr=banana", 'optimizer.lr: must be a number above 0, not the string "banana"'),
        ("mc:lr=-1", "optimizer.lr: must be a number above 0, not -1"),
        ("mc:optimzer.lr=1", "optimzer.lr: is not a live parameter. Did you mean optimizer.lr?"),
        ("mc:paus", '"paus" is no word for a run; there are: mc:pause, mc:resume'),
        ("mc:fork@step-7", "checkpoint: run RUN has no checkpoint 'step-7'; it has: none yet"),
        ("mc:fork@../../etc", "checkpoint: run RUN has no checkpoint '../../etc'"),
        ("mc:" + "x" * 80, "a tag has at most 64 letters"),
        ("mc:a\nb=1", "a\nb: is not a live parameter"),
        ("mc:__class__=1", "__class__: is not a live parameter"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(on_page, tag, reason):
    on_page.add(tag)
    on_page.round()
    assert on_page.commands() == []
    [_, shown] = on_page.tags
    assert shown.startswith("mc:refused:")
    assert shown.endswith("#1")
    assert len(shown) <= 64
    wanted = reason.replace("RUN", on_page.run).replace("\n", " ")
    assert f" refused (#1): {wanted}" in on_page.notes
    assert len(on_page.notes.splitlines()) == 1


def test_only_what_is_allowed_is_obeyed(make_bench):
    on_page = PageBench(make_bench(tag_verbs=frozenset({Verb.PAUSE, Verb.RESUME})))
    on_page.add("mc:stop", "mc:pause")
    on_page.round()
    assert on_page.commands() == ["pause"]
    assert "mc:refused:stop#1" in on_page.tags
    assert "stop is not among what may be asked from here: pause, resume" in on_page.notes


def test_other_tags_are_left_alone(on_page):
    mine = ["mc:done:pause#9", "mc:refused:stop#8", "pause", "MC:pause", "x" * 300]
    on_page.add(*mine)
    on_page.round()
    assert on_page.tags == ["baseline", *mine]
    assert on_page.pages.marks == []
    assert on_page.commands() == []


def test_a_command_that_does_not_act_is_told_with_its_reason(on_page):
    on_page.add("mc:lr=0.5")
    on_page.round()
    on_page.apply("rejected", reason="the schedule has the last word")
    on_page.round(later=1)
    assert on_page.tags == ["baseline", "mc:refused:lr=0.5#1"]
    assert on_page.notes == (
        "mc:lr=0.5 refused (#1): the command was rejected: the schedule has the last word"
    )


def test_a_fork_from_a_checkpoint_is_done_at_once_and_names_the_run(on_page):
    on_page.trainer.say(on_page.trainer.checkpoint("step-9", best=True))
    on_page.add("mc:fork@best")
    on_page.round()
    [row] = on_page.rows()
    child = on_page.bench.get(f"/runs/{row.child}")
    assert child["origin"]["checkpoint"] == "step-9"
    assert child["created_by"] == "W&B page"
    assert on_page.tags == ["baseline", "mc:done:fork@best#1"]
    assert on_page.notes == f"mc:fork@best done (#1): run {row.child}"


@pytest.mark.parametrize("state", ["applied", "failed"])
def test_a_fork_from_now_is_done_when_its_checkpoint_is(on_page, state):
    on_page.add("mc:fork")
    on_page.round()
    assert on_page.tags == ["baseline", "mc:fork"]
    after = {"checkpoint": "step-9"} if state == "applied" else {}
    if after:
        on_page.trainer.say(on_page.trainer.checkpoint("step-9"))
    on_page.apply(state, after=after, reason=None if after else "the disk is full")
    on_page.bench.round()
    on_page.round()
    if after:
        assert on_page.tags == ["baseline", "mc:done:fork#1"]
    else:
        assert on_page.tags == ["baseline", "mc:refused:fork#1"]
        assert "the disk is full" in on_page.notes
    assert len(on_page.bench.get("/runs")["runs"]) == 2


def test_an_undo_names_the_run_that_goes_on(on_page):
    on_page.add("mc:undo")
    on_page.round()
    [command] = on_page.trainer.poll()
    child = command["action"]["child"]
    done = on_page.trainer.done(command, after={"checkpoint": "step-1", "run": child})
    on_page.trainer.say(done)
    on_page.round()
    assert on_page.tags == ["baseline", "mc:done:undo#1"]
    assert on_page.notes == f"mc:undo done (#1): run {child}"


def test_a_tag_that_came_with_the_fork_that_it_made_is_not_obeyed_there_unless_added_again(on_page):
    on_page.add("mc:undo")
    on_page.round()
    [command] = on_page.trainer.poll()
    child = command["action"]["child"]
    after = {"checkpoint": "step-1", "run": child}
    on_page.trainer.say(on_page.trainer.done(command, after=after))
    on_page.on_a_page(on_page.trainer.as_child(child))
    on_page.add("mc:undo", run=child)
    on_page.round()
    assert on_page.commands(child) == []
    assert on_page.pages.tags[child] == ["baseline", "mc:refused:undo#1"]
    assert "this run came from that very tag" in on_page.pages.notes[child]
    on_page.add("mc:undo", run=child)
    on_page.round()
    assert on_page.commands(child) == ["undo"]


def test_a_run_that_ended_is_told_so_while_it_is_still_looked_at(on_page):
    on_page.trainer.say(status("finished", step=9))
    on_page.add("mc:pause")
    on_page.round()
    assert on_page.tags == ["baseline", "mc:refused:pause#1"]
    assert f"Run {on_page.run} has ended: it is finished" in on_page.notes
    on_page.add("mc:stop")
    on_page.round(later=ENDED_FOR.total_seconds())
    assert "mc:stop" in on_page.tags
    assert on_page.pages.looks[-1].runs == [on_page.run]
    seen = len(on_page.pages.looks)
    on_page.round()
    assert len(on_page.pages.looks) == seen
