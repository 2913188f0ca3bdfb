"""Policies in real runs: they act like people, survive crashes, and always have a way back."""

import json
import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policed import (
    NON_FINITE,
    applied,
    concluded,
    deeds,
    line_of,
    run_process,
    train,
)
from tiny_run import command, records, start

from midcourse.branch import read_run_file
from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.commands import Revert
from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunStatus
from midcourse.policies.soundness import Soundness
from midcourse.session import Session

LOWERED = {"optimizer.lr": {"value": 0.5, "mode": "scale"}}


@pytest.fixture(autouse=True)
def _no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def steer_when_paused(kind: str) -> Callable[[Session, int], None]:
    """Post a command as soon as the run is paused, from another thread, as the link would."""
    watching: set[str] = set()

    def on_step(run: Session, step: int) -> None:
        if watching:
            return
        watching.add(run.id)

        def wait() -> None:
            posted: set[int] = set()
            for _ in range(6000):
                if run.ended or run._closed:
                    return
                at = run.current_step
                if run.status is RunStatus.PAUSED and at not in posted:
                    posted.add(at)
                    run.boundary.mailbox.post(command(len(posted), kind, run=run.id))
                threading.Event().wait(0.01)

        threading.Thread(target=wait, daemon=True).start()

    return on_step


# -- non_finite ---------------------------------------------------------------------------------


def test_a_run_goes_back_to_before_it_was_spoilt_and_recovers(tmp_path: Path) -> None:
    """With `keep=1` and a checkpoint each step, of which the newest two hold NaN."""
    home = tmp_path / "a"
    ended = train(home, "r1", policies=[NON_FINITE], spoil={10: 0.05})
    [(asked, receipt)] = concluded(home, "r1")
    assert (asked.actor, asked.seq, receipt.state, receipt.step) == (
        "policy:non_finite",
        -1,
        "applied",
        11,
    )
    assert asked.reason == "train/loss is nan at step 11; revert 1 of at most 3"
    assert asked.action == Revert(checkpoint="step-9", child=ended["id"], changes=LOWERED)
    assert line_of(home, "r1") == ["r1", ended["id"]]
    assert ended["id"] != "r1"
    assert all(map(math.isfinite, (ended["losses"][step] for step in range(40))))

    person = tmp_path / "b"
    revert = {"checkpoint": "step-9", "child": "r2", "changes": LOWERED}

    def by_hand(run: Session, step: int) -> None:
        if (run.id, step) == ("r1", 11):
            run.boundary.mailbox.post(command(1, "revert", **revert))

    assert train(person, "r1", spoil={10: 0.05}, on_step=by_hand, keep=9)["hash"] == ended["hash"]


def test_the_same_checkpoint_is_gone_back_to_with_an_ever_lower_rate(tmp_path: Path) -> None:
    """The children fail before their own first checkpoint, so they all begin at the same one."""
    ended = train(
        tmp_path, "r1", policies=[NON_FINITE], spoil={12: 0.012}, checkpoint_every="10 steps"
    )
    scales = []
    for each in applied(tmp_path, "r1"):
        assert isinstance(each.action, Revert)
        assert each.action.checkpoint == "step-9"
        scales.append(each.action.changes["optimizer.lr"])
    assert scales == [{"value": 0.5**n, "mode": "scale"} for n in (1, 2, 3)]
    line = line_of(tmp_path, "r1")
    assert line[-1] == ended["id"]
    files = [read_run_file(RunPaths(tmp_path, run).run_file) for run in line]
    assert [file.supersedes for file in files] == [None, *line[:-1]]
    assert [file.origin.run for file in files if file.origin is not None] == ["r1"] * 3
    assert math.isfinite(ended["losses"][39])


@pytest.mark.parametrize("then", ["resume", "stop"])
def test_after_so_many_reverts_the_run_pauses(tmp_path: Path, then: str) -> None:
    ended = train(
        tmp_path,
        "r1",
        policies=[NON_FINITE | {"at_most": 2}],
        spoil={12: 0.0},
        epochs=2,
        on_step=steer_when_paused(then),
    )
    told = [each for each in concluded(tmp_path, "r1") if each[0].actor == "policy:non_finite"]
    kinds = [each.action.kind for each, _ in told]
    assert kinds[:3] == ["revert", "revert", "pause"]
    assert told[2][0].reason == "train/loss is nan at step 13, after 2 reverts: 2 are allowed"
    if then == "stop":
        assert kinds[3:] == []
        assert max(ended["losses"]) == 13
    else:  # whoever lets it go on with NaN in the weights is asked again at each step
        assert kinds[3:] == ["pause"] * 6
        assert [receipt.step for _, receipt in told[2:]] == list(range(13, 20))


def test_with_nothing_to_go_back_to_the_run_pauses(tmp_path: Path) -> None:
    """Its checkpoints are damaged, but for those that hold NaN."""

    def damage(run: Session, step: int) -> None:
        if step == 11:
            run.branch.writer.drain()
            for name in run.branch.store.names():
                if checkpoint_step(name) < 10:
                    with (run.paths.checkpoint(name) / "state.safetensors").open("r+b") as file:
                        file.seek(-1, 2)
                        file.write(b"\xff")
        steer(run, step)

    steer = steer_when_paused("stop")
    train(tmp_path, "r1", policies=[NON_FINITE], spoil={10: 0.05}, on_step=damage)
    [(asked, receipt), _] = concluded(tmp_path, "r1")
    assert (asked.action.kind, receipt.state) == ("pause", "applied")
    assert asked.reason is not None
    assert asked.reason.endswith("no checkpoint from before it is whole and free of NaN")


def test_where_the_rate_cannot_be_lowered_the_run_pauses(tmp_path: Path) -> None:
    """Here there is no optimizer."""
    with start(tmp_path, policies=[{"kind": "non_finite", "metric": "loss"}]) as run:
        for value in (1.0, 1.0, math.nan):
            run.begin()
            run.log({"loss": value})
            if math.isnan(value):
                steer_when_paused("stop")(run, 2)
            run.step()
    [(asked, _), _] = concluded(tmp_path, "r1")
    assert asked.action.kind == "pause"
    assert asked.reason is not None
    assert "its learning rate cannot be lowered: optimizer.lr: is not a live" in asked.reason


def test_a_revert_that_failed_is_not_tried_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("no room for a child")

    monkeypatch.setattr("midcourse.engine.prepare_child", fail)
    train(
        tmp_path,
        "r1",
        policies=[NON_FINITE],
        spoil={10: 0.05},
        on_step=steer_when_paused("stop"),
    )
    told = [(each.action.kind, receipt.state) for each, receipt in concluded(tmp_path, "r1")]
    assert told == [("revert", "failed"), ("pause", "applied"), ("stop", "applied")]


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("bad", [3, 10])
def test_retention_leaves_a_way_back(tmp_path: Path, keep: int, bad: int) -> None:
    """At each boundary there is a sound checkpoint from at least two steps before."""

    def look(run: Session, step: int) -> None:
        run.branch.writer.drain()
        if step <= bad + 1 and step >= 1:
            weights = frozenset({"objects/model/0.weight"})
            found = Soundness().last_before(step, run.branch, weights)
            assert found is not None
            assert checkpoint_step(found[1]) == min(step - 2, bad - 1)

    policies = [NON_FINITE | {"at_most": 0, "every": "100 steps"}]
    train(tmp_path, "r1", policies=policies, spoil={bad: 0.0}, keep=keep, epochs=2, on_step=look)
    sound = [
        name
        for name in CheckpointStore(RunPaths(tmp_path, "r1")).names()
        if checkpoint_step(name) < bad
    ]
    assert len(sound) == 3


def test_without_policies_nothing_is_kept_or_watched(tmp_path: Path) -> None:
    def look(run: Session, step: int) -> None:
        assert run.guard is None

    train(tmp_path, "r1", on_step=look, epochs=1)
    assert len(CheckpointStore(RunPaths(tmp_path, "r1")).names()) == 1


# -- killed and restarted -------------------------------------------------------------------------

ALL = [
    {"kind": "spike", "metric": "train/loss", "window": 4, "threshold": 1.0, "cooldown": 4},
    {"kind": "plateau", "metric": "train/loss", "patience": 3, "factor": 0.9, "min_lr": 0.01},
    NON_FINITE,
    {"kind": "target", "metric": "train/lr", "mode": "min", "value": 0.0115, "every": "2 steps"},
]
PROGRAM: dict[str, Any] = {"policies": ALL, "spoil": {10: 0.04, 21: 0.02}}


@pytest.fixture(scope="module", params=["1 step", "7 steps"])
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The run that nobody killed."""
    options = PROGRAM | {"checkpoint_every": request.param}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        home = tmp_path_factory.mktemp("undisturbed")
        ended = train(home, "r1", **options)
    return {"options": options, "ended": ended, "deeds": deeds(home, "r1"), "home": home}


def test_policies_of_every_kind_act_in_this_program(undisturbed: dict[str, Any]) -> None:
    actors = [actor for actor, *_ in undisturbed["deeds"]]
    assert set(actors) == {"policy:spike", "policy:plateau", "policy:non_finite", "policy:target"}
    assert actors.count("policy:non_finite") == 2
    assert actors.count("policy:plateau") > 1
    assert {state for _, _, state, _ in undisturbed["deeds"]} == {"applied"}


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("place", ["journalled", "concluded", "captured", "logged"])
def test_killed_at_bad_moments_policies_decide_the_same_once(
    place: str, count: int, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    options = undisturbed["options"]
    if run_process(tmp_path, kill_at=f"{place}:{count}", **options) != 0:
        # It strikes again after the restart, where there is enough left to do.
        code = run_process(tmp_path, kill_at=f"{place}:{count}", **options)
        assert code in (0, -signal.SIGKILL)
        if code != 0:
            assert run_process(tmp_path, **options) == 0
    assert (
        json.loads((tmp_path / "result.json").read_text())["hash"] == undisturbed["ended"]["hash"]
    )
    assert deeds(tmp_path, "r1") == undisturbed["deeds"]


def test_killed_over_and_over(tmp_path: Path) -> None:
    options = PROGRAM | {"checkpoint_every": "3 steps"}
    whole = tmp_path / "whole"
    ended = train(whole, "r1", **options)
    home = tmp_path / "killed"
    home.mkdir()
    codes: list[int] = []
    while 0 not in codes:
        codes.append(run_process(home, kill_at=f"captured:{5 + len(codes)}", **options))
        assert codes[-1] in (0, -signal.SIGKILL)
    assert len(codes) > 2
    assert json.loads((home / "result.json").read_text())["hash"] == ended["hash"]
    assert deeds(home, "r1") == deeds(whole, "r1")


# -- beside people --------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint_every", ["1 step", None])
def test_what_a_policy_changed_can_be_undone(tmp_path: Path, checkpoint_every: str | None) -> None:
    """Change, train, undo = never changed; also where a checkpoint holds what was decided."""
    plateau = {"kind": "target", "metric": "train/loss", "mode": "max", "value": 1e9}
    never = train(tmp_path / "a", "r1", policies=[plateau], checkpoint_every=checkpoint_every)
    once = {"kind": "plateau", "metric": "fake", "patience": 1, "factor": 0.1}

    def undo(run: Session, step: int) -> None:
        if run.id == "r1" and step in (6, 7):
            run.log({"fake": 1.0})
        if (run.id, step) == ("r1", 12):
            run.boundary.mailbox.post(command(1, "undo", child="r2"))

    undone = train(
        tmp_path / "b", "r1", policies=[once], checkpoint_every=checkpoint_every, on_step=undo
    )
    assert [each.action.kind for each in applied(tmp_path / "b", "r1")] == ["set", "undo"]
    assert undone["id"] == "r2"
    assert undone["hash"] == never["hash"]


def test_a_fork_goes_on_with_what_its_parents_policies_have_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = [{"kind": "plateau", "metric": "train/loss", "patience": 3, "factor": 0.9}]
    parent = train(tmp_path, "r1", policies=policies, keep=99)
    acted = [step for _, step, _, _ in deeds(tmp_path, "r1")]
    at = next(step for step in range(12, 30) if step not in acted)
    origin = {"run": "r1", "checkpoint": f"step-{at}", "changes": {}, "actor": "ada"}
    monkeypatch.setenv("MIDCOURSE_ORIGIN", json.dumps(origin))
    child = train(tmp_path, "r2", policies=policies)
    assert child["hash"] == parent["hash"]
    assert [d for d in deeds(tmp_path, "r1") if (d[1] or 0) > at] == deeds(tmp_path, "r2")


def test_a_replay_takes_what_policies_did_from_the_journal(tmp_path: Path) -> None:
    policies = [{"kind": "plateau", "metric": "train/loss", "patience": 3, "factor": 0.9}]
    original = train(tmp_path, "r1", policies=policies)

    def look(run: Session, step: int) -> None:
        assert run.guard is None

    again = train(tmp_path, "r2", policies=policies, replay="r1", on_step=look)
    assert again["hash"] == original["hash"]
    assert deeds(tmp_path, "r2") == deeds(tmp_path, "r1") != []


def test_a_policy_with_nothing_to_watch_is_told_at_the_end(tmp_path: Path) -> None:
    misspelt = {"kind": "non_finite", "metric": "train/los"}
    train(tmp_path, "r1", policies=[misspelt, NON_FINITE | {"name": "fine"}], epochs=1)
    [notice] = [record.message for record in records(tmp_path) if record.type == "notice"]
    assert notice == (
        "the policy non_finite did nothing: no number was logged as train/los at a step that "
        "completes 1 step"
    )


def test_an_alert_is_told_and_changes_nothing(tmp_path: Path) -> None:
    spike = ALL[0]
    with_alerts = train(tmp_path, "r1", policies=[spike])
    assert with_alerts["hash"] == train(tmp_path / "b", "r1")["hash"]
    notices = [record.message for record in records(tmp_path) if record.type == "notice"]
    assert notices == [each.reason for each in applied(tmp_path, "r1")] != []
