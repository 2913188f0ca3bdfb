"""Editing and deleting runs: what goes, what stays, and what goes on after a crash."""

import fcntl
import os

import pytest
from control_bench import Bench, metrics, status
from sqlalchemy import func, select

from control_api import deleting
from control_api.clearing import clear_folder
from control_api.tables import AuditRow, CheckpointRow, CommandRow, MetricBatchRow, RunRow
from midcourse.contract.paths import RunPaths


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def trained(bench, *checkpoints, **config):
    """A run that has ended with these checkpoints, and its files."""
    trainer = bench.submit(seed=1, **config)
    trainer.say(trainer.started(), metrics(0, loss=1.0), *map(trainer.checkpoint, checkpoints))
    return ended(bench, trainer)


def ended(bench, trainer):
    trainer.say(status("finished"))
    trainer.end(0)
    bench.round()
    for path in (trainer.paths.run_file, trainer.paths.journal, trainer.paths.run_log):
        path.write_text("x" * 100)
    trainer.paths.media.mkdir(exist_ok=True)
    (trainer.paths.media / "picture").write_bytes(b"x" * 1000)
    return trainer.run


def fork(bench, run, checkpoint, **changes):
    """A fork that trains, and has ended, with a checkpoint of its own."""
    body = {"checkpoint": checkpoint, "changes": changes}
    child = bench.post(f"/runs/{run}/fork", body, expect=201)["id"]
    bench.round()
    trainer = bench.trainer(child)
    trainer.say(trainer.started(), trainer.checkpoint("step-20"))
    return ended(bench, trainer)


def delete(bench, run, *, expect=200, **options):
    answer = bench.ask("DELETE", f"/runs/{run}", **options)
    assert answer.status_code == expect, answer.text
    return answer.json


def checkpoints(bench, run):
    folder = RunPaths(bench.home, run).checkpoints
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Editing


def test_a_run_is_renamed_noted_tagged_moved_in_the_queue_and_archived(bench):
    run = bench.submit(seed=1).run
    body = {"name": "new", "notes": "n", "tags": ["b", "a"], "priority": 3, "archived": True}
    answer = bench.ask("PATCH", f"/runs/{run}", body)
    assert answer.status_code == 200
    view = answer.json
    assert {name: view[name] for name in body if name != "archived"} == {
        name: value for name, value in body.items() if name != "archived"
    }
    assert view["archived_at"] is not None
    assert bench.get(f"/runs/{run}") == view
    assert bench.get("/runs")["runs"] == []

    again = bench.ask("PATCH", f"/runs/{run}", {"archived": True}).json
    assert again["archived_at"] == view["archived_at"]
    back = bench.ask("PATCH", f"/runs/{run}", {"archived": False, "name": None}).json
    assert (back["archived_at"], back["name"], back["notes"]) == (None, None, "n")
    with bench.database.reading() as session:
        actions = session.scalars(select(AuditRow.action).where(AuditRow.run_id == run))
        assert list(actions) == ["submit", "edit", "edit", "edit"]


def test_what_cannot_stand_beside_a_run_is_refused_and_changes_nothing(bench):
    run = bench.submit(seed=1).run
    for body, path, message in (
        ({"tags": ["a", "a"]}, "tags", "'a' stands twice"),
        ({"tags": ["a,b"]}, "tags.0", "must match"),
        ({"tags": [" a"]}, "tags.0", "must match"),
        ({"tags": [""]}, "tags.0", "must match"),
        ({"tags": ["x" * 65]}, "tags.0", "at most 64"),
        ({"tags": [f"t{n}" for n in range(51)]}, "tags", "at most 50"),
        ({"tags": None}, "tags", "must be a list"),
        ({"notes": "x" * 20_001}, "notes", "at most 20000"),
        ({"priority": 1.5}, "priority", "must be a whole number"),
        ({"priority": 10**7}, "priority", "at most 1000000"),
        ({"archived": "yes"}, "archived", "must be true or false"),
        ({"status": "stopped"}, "status", "is not a known key"),
    ):
        answer = bench.ask("PATCH", f"/runs/{run}", body)
        assert answer.status_code == 422, body
        assert answer.json["faults"][0]["path"] == path, body
        assert message in answer.json["faults"][0]["message"], body
    view = bench.get(f"/runs/{run}")
    assert (view["tags"], view["notes"], view["priority"]) == ([], None, 0)


# Deleting


def test_a_dry_run_says_what_would_go_and_takes_nothing(bench):
    run = trained(bench, "initial", "step-9")
    child = fork(bench, run, "step-9")
    told = bench.ask("DELETE", f"/runs/{run}?dry_run=true").json
    assert (told["dry_run"], told["deleted_at"]) == (True, None)
    assert told["checkpoints_gone"] == ["initial"]
    assert told["checkpoints_kept"] == [{"name": "step-9", "needed_by": [child]}]
    assert told["children"] == [child]
    assert told["metrics"] == 1
    sizes = {each["path"]: each["bytes"] for each in told["files"]}
    assert sizes["media"] == 1000
    assert sizes["runlog.jsonl"] == 100
    assert "run.json" not in sizes  # what came from its checkpoint needs it
    assert told["bytes_freed"] == sum(sizes.values())
    assert bench.get(f"/runs/{run}")["status"] == "finished"
    assert checkpoints(bench, run) == ["initial", "step-9"]


def test_all_of_a_run_goes_but_its_row_and_the_audit(bench):
    run = trained(bench, "initial", "step-9")
    told = delete(bench, run)
    assert told["checkpoints_gone"] == ["initial", "step-9"]
    assert told["checkpoints_kept"] == []
    assert not RunPaths(bench.home, run).folder.exists()
    with bench.database.reading() as session:
        row = session.get_one(RunRow, run)
        assert (row.config, row.declared, row.clear_after) == ({}, None, None)
        points = select(func.count()).where(MetricBatchRow.run_id == run)
        left = select(CheckpointRow.name).where(
            CheckpointRow.run_id == run, CheckpointRow.deleted_at.is_(None)
        )
        assert session.scalar(points) == 0
        assert list(session.scalars(left)) == []
        actions = session.scalars(select(AuditRow.action).where(AuditRow.run_id == run))
        assert list(actions) == ["submit", "delete"]


def test_a_deleted_run_is_gone_and_says_since_when(bench):
    run = trained(bench, "step-9")
    moment = delete(bench, run)["deleted_at"]
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/lineage", None),
        ("GET", "/checkpoints", None),
        ("GET", "/metrics", None),
        ("POST", "/pause", None),
        ("POST", "/fork", {"checkpoint": "step-9"}),
        ("POST", "/replay", {}),
    ):
        answer = bench.ask(method, f"/runs/{run}{path}", body)
        assert (answer.status_code, answer.json["type"]) == (410, "/problems/run-deleted"), path
        assert answer.json["deleted_at"][:19] == moment[:19]
    assert bench.get("/runs?archived=any")["runs"] == []
    bench.round()
    bench.round(later=100)


@pytest.mark.parametrize("word", ["queued", "running", "paused"])
def test_a_run_that_has_not_ended_is_not_deleted(bench, word):
    run = bench.submit(seed=1).run
    with bench.database.writing() as session:
        session.get_one(RunRow, run).status = word
    told = delete(bench, run, expect=409)
    assert told["type"] == "/problems/run-not-ready"
    assert f"Run {run} is {word}" in told["detail"]
    assert "POST …/stop" in told["detail"]
    assert bench.ask("DELETE", f"/runs/{run}?dry_run=true").status_code == 409


def test_a_run_whose_trainer_still_ends_is_not_deleted(bench):
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), status("finished"))
    assert "its trainer has not yet" in delete(bench, trainer.run, expect=409)["detail"]
    trainer.end(0)
    bench.round()
    trainer.paths.folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(trainer.paths.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert "its trainer has not yet" in delete(bench, trainer.run, expect=409)["detail"]
    os.close(descriptor)
    delete(bench, trainer.run)


def test_a_run_that_another_is_about_to_begin_from_is_not_deleted(bench):
    run = trained(bench, "step-9")
    replay = bench.post(f"/runs/{run}/replay", {}, expect=201)["id"]
    assert f"Run {replay} is about to begin" in delete(bench, run, expect=409)["detail"]
    bench.post(f"/runs/{replay}/stop", expect=202)
    bench.round()
    delete(bench, run)


def test_a_checkpoint_that_a_run_came_from_stays_until_that_run_is_deleted(bench):
    run = trained(bench, "initial", "step-9")
    child = fork(bench, run, "step-9")
    told = delete(bench, run)
    assert told["checkpoints_kept"] == [{"name": "step-9", "needed_by": [child]}]
    assert checkpoints(bench, run) == ["step-9"]
    folder = RunPaths(bench.home, run).folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "journal.jsonl",
        "run.json",
    ]
    told = delete(bench, child)
    assert told["checkpoints_freed"] == [{"run": run, "name": "step-9"}]
    assert not folder.exists()
    assert not RunPaths(bench.home, child).folder.exists()


def test_deleting_a_child_frees_its_parents_checkpoint(bench):
    run = trained(bench, "step-9")
    child = fork(bench, run, "step-9")
    pins = RunPaths(bench.home, run).pins("step-9")
    assert [pin.name for pin in pins.iterdir()] == [child]
    assert delete(bench, child)["checkpoints_freed"] == []
    assert list(pins.iterdir()) == []
    assert checkpoints(bench, run) == ["step-9"]
    assert delete(bench, run)["checkpoints_gone"] == ["step-9"]


def test_a_fork_that_never_began_keeps_nothing(bench):
    run = trained(bench, "step-9")
    child = bench.post(f"/runs/{run}/fork", {"checkpoint": "step-9"}, expect=201)["id"]
    assert delete(bench, run)["checkpoints_kept"] == [{"name": "step-9", "needed_by": [child]}]
    bench.post(f"/runs/{child}/stop", expect=202)
    bench.round()
    assert bench.get(f"/runs/{child}")["status"] == "stopped"
    delete(bench, child)
    assert not RunPaths(bench.home, run).folder.exists()


def test_a_deleted_run_between_two_others_keeps_the_way_back_to_the_root(bench):
    root = trained(bench, "step-9")
    middle = fork(bench, root, "step-9")
    leaf = fork(bench, middle, "step-20")
    delete(bench, middle)
    told = delete(bench, root)
    assert told["checkpoints_kept"] == [{"name": "step-9", "needed_by": [leaf]}]
    assert (checkpoints(bench, root), checkpoints(bench, middle)) == (["step-9"], ["step-20"])
    told = delete(bench, leaf)
    freed = [{"run": middle, "name": "step-20"}, {"run": root, "name": "step-9"}]
    assert told["checkpoints_freed"] == freed
    assert told["bytes_freed"] > 0
    assert list((bench.home / "runs").iterdir()) == []


def test_what_was_forked_without_the_control_api_counts(bench):
    run = trained(bench, "step-9")
    pins = RunPaths(bench.home, run).pins("step-9")
    pins.mkdir()
    (pins / "rlocal").touch()
    (pins / "command").touch()
    (bench.home / "runs/rlocal").mkdir()
    (bench.home / "runs/rlocal/run.json").write_text("{}")
    told = delete(bench, run)
    assert told["checkpoints_kept"] == [{"name": "step-9", "needed_by": ["rlocal"]}]
    assert checkpoints(bench, run) == ["step-9"]


def test_a_pin_that_is_set_just_now_is_honoured(bench):
    run = trained(bench, "step-9", "initial")
    pins = RunPaths(bench.home, run).pins("step-9")
    pins.mkdir()
    (pins / "rnew").touch()
    assert clear_folder(RunPaths(bench.home, run), [], ["rold"]) == {"step-9"}
    assert checkpoints(bench, run) == ["step-9"]
    assert RunPaths(bench.home, run).run_file.exists()


def test_the_parents_token_goes_and_its_successors_stays(bench):
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), trainer.checkpoint("step-9"))
    asked = bench.post(f"/runs/{trainer.run}/revert", {"checkpoint": "step-9"}, expect=202)
    [command] = trainer.poll()
    child = trainer.as_child(asked["action"]["child"])
    trainer.say(trainer.done(command, after={"checkpoint": "step-9"}), status("superseded"))
    child.say(child.started())
    delete(bench, trainer.run)
    assert child.beat().status_code == 200
    assert trainer.beat().status_code in (403, 410)
    assert checkpoints(bench, trainer.run) == ["step-9"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["clear_folder", "unpin", "_clear"])
def test_whoever_is_killed_in_the_middle_leaves_what_the_reconciler_finishes(
    bench, monkeypatch, where
):
    root = trained(bench, "step-9")
    run = fork(bench, root, "step-9")
    delete(bench, root)
    original = getattr(deleting, where)

    def die(*arguments):
        if where != "_clear":
            original(*arguments)
        raise Killed

    monkeypatch.setattr(deleting, where, die)
    with pytest.raises(Killed):
        bench.ask("DELETE", f"/runs/{run}")
    monkeypatch.undo()
    assert bench.ask("GET", f"/runs/{run}").status_code == 410
    bench.round()
    assert RunPaths(bench.home, root).folder.exists()  # it is left to whoever deletes for a while
    bench.round(later=60)
    assert list((bench.home / "runs").iterdir()) == []
    with bench.database.reading() as session:
        left = select(RunRow.id).where(RunRow.clear_after.is_not(None))
        assert list(session.scalars(left)) == []


def test_what_cannot_be_taken_away_is_tried_again_later(bench, monkeypatch):
    run = trained(bench, "step-9")
    tries = []

    def refuse(*_arguments):
        tries.append(1)
        raise PermissionError("read-only")

    monkeypatch.setattr(deleting, "clear_folder", refuse)
    assert delete(bench, run)["checkpoints_gone"] == ["step-9"]
    bench.round()
    assert len(tries) == 1
    bench.round(later=60)
    bench.round()
    assert len(tries) == 2
    monkeypatch.undo()
    bench.round(later=60)
    assert not RunPaths(bench.home, run).folder.exists()


def test_a_repeated_deletion_is_answered_as_the_first_one(bench):
    run = trained(bench, "step-9")
    key = {"Idempotency-Key": "once"}
    first = delete(bench, run, headers=key)
    again = bench.ask("DELETE", f"/runs/{run}", headers=key)
    assert (again.status_code, again.json) == (200, first)
    assert again.headers["Idempotency-Replayed"] == "true"
    delete(bench, run, expect=410)


def test_the_commands_of_a_deleted_run_are_kept_with_the_audit(bench):
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started())
    bench.post(f"/runs/{trainer.run}/stop", expect=202)
    [command] = trainer.poll()
    trainer.say(trainer.done(command), status("stopped"))
    trainer.end(0)
    bench.round()
    delete(bench, trainer.run)
    with bench.database.reading() as session:
        assert session.get_one(CommandRow, (trainer.run, 1)).receipt["state"] == "applied"
