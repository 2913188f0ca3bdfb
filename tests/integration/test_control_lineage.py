"""The tree that runs belong to, and the experiments that group them."""

import json
from datetime import timedelta

import pytest
from control_bench import Bench, metrics, status

from control_api.tables import RunRow
from midcourse.contract.api.lineage import LineageView
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def add(bench, *runs):
    """Rows, each a second younger than the one before."""
    now = utc_now()
    with bench.database.writing() as session:
        for number, columns in enumerate(runs):
            made = {"created_at": now + timedelta(seconds=number), "created_by": "ada"}
            session.add(
                RunRow(**{"experiment": "a", "config": {}, "status": "finished"} | made | columns)
            )
            session.flush()


def test_a_tree_has_each_branch_with_its_step_and_its_changes(bench):
    parent = bench.submit(seed=1)
    parent.say(parent.started(), metrics(9, loss=0.5), parent.checkpoint("step-9"))
    body = {"checkpoint": "step-9", "changes": {"optimizer.lr": 0.01}, "name": "slow"}
    slow = bench.post(f"/runs/{parent.run}/fork", body, expect=201)["id"]
    other = bench.post(f"/runs/{parent.run}/fork", {"checkpoint": "step-9"}, expect=201)["id"]

    told = bench.get(f"/runs/{other}/lineage")
    LineageView.model_validate(told)
    assert (told["root"], told["run"], told["nodes"]) == (parent.run, other, None)
    tree = told["tree"]
    assert (tree["id"], tree["origin"], tree["metrics"]) == (parent.run, None, {"loss": 0.5})
    assert [child["id"] for child in tree["children"]] == [slow, other]
    child = tree["children"][0]
    assert child["origin"] == {
        "run": parent.run,
        "checkpoint": "step-9",
        "step": 9,
        "changes": {"optimizer.lr": 0.01},
        "warm_start": False,
        "actor": "admin",
        "revert": False,
    }
    assert (child["name"], child["status"], child["children"]) == ("slow", "queued", [])
    assert bench.get(f"/runs/{slow}/lineage")["tree"] == tree


def test_an_undo_hangs_below_the_run_whose_place_it_took_and_names_where_it_came_from(bench):
    add(
        bench,
        {"id": "r1"},
        {"id": "r2", "parent_id": "r1", "parent_checkpoint": "initial"},
        {
            "id": "r3",
            "parent_id": "r2",
            "checkpoint_run": "r1",
            "parent_checkpoint": "step-5.1",
            "reverts": True,
        },
        {"id": "r4", "parent_id": "r3", "parent_seq": 2},
    )
    [second] = bench.get("/runs/r1/lineage")["tree"]["children"]
    assert second["origin"]["step"] == -1
    [third] = second["children"]
    assert (third["origin"]["run"], third["origin"]["step"]) == ("r1", 5)
    assert third["origin"]["revert"] is True
    [fourth] = third["children"]
    assert (fourth["origin"]["checkpoint"], fourth["origin"]["step"]) == (None, None)


def test_deleted_runs_hold_a_tree_together(bench):
    add(
        bench,
        {"id": "r1", "deleted_at": utc_now(), "latest": {"loss": [1, "NaN"]}},
        {"id": "r2", "parent_id": "r1", "parent_checkpoint": "step-1", "deleted_at": utc_now()},
        {"id": "r3", "parent_id": "r2", "parent_checkpoint": "step-2"},
    )
    told = bench.get("/runs/r3/lineage?flat=true")
    assert told["tree"] is None
    assert [(node["id"], node["parent"], node["depth"]) for node in told["nodes"]] == [
        ("r1", None, 0),
        ("r2", "r1", 1),
        ("r3", "r2", 2),
    ]
    assert [node["deleted_at"] is None for node in told["nodes"]] == [False, False, True]
    assert told["nodes"][0]["metrics"] == {"loss": "NaN"}
    assert bench.ask("GET", "/runs/r2/lineage").status_code == 410
    assert bench.ask("GET", "/runs/r9/lineage").status_code == 404


def test_a_list_has_parents_before_children_and_all_that_comes_from_one_together(bench):
    add(
        bench,
        {"id": "r1"},
        *({"id": f"r{n}", "parent_id": f"r{p}"} for n, p in ((2, 1), (3, 1), (4, 2), (5, 3))),
        {"id": "r6"},
    )
    nodes = bench.get("/runs/r4/lineage?flat=true")["nodes"]
    assert [node["id"] for node in nodes] == ["r1", "r2", "r4", "r3", "r5"]
    assert bench.get("/runs/r6/lineage")["tree"]["children"] == []


def test_a_lineage_may_be_deeper_than_any_recursion(bench):
    deep = 1500
    add(
        bench,
        {"id": "r0"},
        *({"id": f"r{n}", "parent_id": f"r{n - 1}"} for n in range(1, deep)),
    )
    nodes = bench.get(f"/runs/r{deep - 1}/lineage?flat=true")["nodes"]
    assert [node["depth"] for node in nodes] == list(range(deep))
    text = bench.ask("GET", "/runs/r7/lineage").text
    assert text.count('"id":') == deep
    assert text.rstrip().endswith("]}" * deep + ',"nodes":null}')


def test_the_tree_is_written_as_its_model_would_be(bench):
    add(
        bench,
        {"id": "r1", "name": 'qu"oté'},
        *({"id": f"r{n}", "parent_id": f"r{p}"} for n, p in ((2, 1), (3, 1), (4, 2), (5, 2))),
    )
    text = bench.ask("GET", "/runs/r1/lineage").text
    model = LineageView.model_validate(json.loads(text))
    assert json.loads(model.model_dump_json()) == json.loads(text)


# Experiments


def test_experiments_say_how_many_runs_they_have_and_when_something_was_heard(bench):
    first = bench.post("/runs", {"config": {}, "experiment": "old"}, expect=201)
    second = bench.post("/runs", {"config": {}, "experiment": "new"}, expect=201)
    bench.round()
    trainer = bench.trainer(first["id"])
    trainer.say(trainer.started())
    trainer.beat()
    bench.post("/runs", {"config": {}, "experiment": "old"}, expect=201)
    heard = bench.get(f"/runs/{first['id']}")["heartbeat_at"]

    listed = bench.get("/experiments")["experiments"]
    assert [each["name"] for each in listed] == ["old", "new"]
    assert (listed[0]["runs"], listed[0]["statuses"]) == (2, {"queued": 1, "running": 1})
    assert listed[0]["created_at"] == first["created_at"]
    assert listed[0]["active_at"] >= heard
    assert listed[1]["statuses"] == {"starting": 1}

    trainer.say(status("finished"))
    trainer.end(0)
    bench.round()
    bench.ask("DELETE", f"/runs/{first['id']}")
    bench.ask("PATCH", f"/runs/{second['id']}", {"archived": True})
    counts = lambda query: {  # noqa: E731
        each["name"]: each["runs"] for each in bench.get(f"/experiments{query}")["experiments"]
    }
    assert counts("") == {"old": 1}
    assert counts("?archived=true") == {"new": 1}
    assert counts("?archived=any") == {"old": 1, "new": 1}
    assert bench.ask("GET", "/experiments?archived=maybe").status_code == 422
