"""Submitting runs: one with all that may be said of it, or a sweep of many."""

import pytest
from control_bench import Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def refused(bench, **body):
    problem = bench.post("/runs", body, expect=422)
    assert bench.get("/runs")["total"] == 0, "all or none"
    return {fault["path"]: fault["message"] for fault in problem["faults"]}


def test_what_is_said_of_a_run_is_kept(bench):
    body = {"config": {}, "priority": 3, "tags": ["a", "b"], "notes": "first try"}
    run = bench.post("/runs", body, expect=201)
    assert (run["priority"], run["tags"], run["notes"]) == (3, ["a", "b"], "first try")
    assert run["sweep"] is None


def test_a_grid_is_a_run_for_every_combination(bench):
    base = {"experiment": "digits", "optimizer": {"name": "sgd", "lr": 1}}
    grid = {"optimizer.lr": [0.1, 0.01], "model.width": [8, 16]}
    answer = bench.ask(
        "POST", "/runs", {"config": base, "grid": grid, "name": "try", "tags": ["t"]}
    )
    assert answer.status_code == 201
    sweep = answer.json
    tried = [(run["config"]["optimizer"], run["config"]["model"]["width"]) for run in sweep["runs"]]
    assert tried == [({"name": "sgd", "lr": lr}, width) for lr in (0.1, 0.01) for width in (8, 16)]
    assert [run["name"] for run in sweep["runs"]][:2] == [
        "try: optimizer.lr=0.1, model.width=8",
        "try: optimizer.lr=0.1, model.width=16",
    ]
    assert {run["sweep"] for run in sweep["runs"]} == {sweep["sweep"]}
    assert {tuple(run["tags"]) for run in sweep["runs"]} == {("t",)}
    assert answer.headers["Location"] == f"/api/v1/runs?sweep={sweep['sweep']}"
    assert bench.get(f"/runs?sweep={sweep['sweep']}")["total"] == 4


def test_configurations_are_merged_into_what_they_share(bench):
    base = {"optimizer": {"lr": 1, "name": "sgd"}, "seed": 1}
    configs = [{"optimizer": {"lr": 2}}, {"seed": None, "experiment": "other"}]
    sweep = bench.post("/runs", {"config": base, "configs": configs}, expect=201)
    assert [run["config"] for run in sweep["runs"]] == [
        {"optimizer": {"lr": 2, "name": "sgd"}, "seed": 1, "experiment": "default"},
        {"optimizer": {"lr": 1, "name": "sgd"}, "experiment": "other"},
    ]
    assert [run["experiment"] for run in sweep["runs"]] == ["default", "other"]
    alone = bench.post("/runs", {"configs": [{}]}, expect=201)
    assert len(alone["runs"]) == 1


def test_a_sweep_starts_in_the_order_in_which_it_was_asked_for(bench):
    sweep = bench.post("/runs", {"config": {}, "grid": {"seed": [*range(20)]}}, expect=201)
    ids = [run["id"] for run in sweep["runs"]]
    assert [each["run"] for each in bench.get("/slots")["queue"]] == ids
    bench.round()
    assert [spec.run_id for spec in bench.launcher.started] == ids[:8]


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({}, "config", "is missing"),
        ({"config": {}, "grid": {}}, "grid", "is empty"),
        ({"config": {}, "grid": {"a": []}}, "grid.a", "has no values"),
        ({"config": {}, "grid": {"a": [1, 2, 1]}}, "grid.a", "names 1 twice"),
        ({"config": {}, "grid": {"a": [1, 1.0]}}, "grid.a", "names 1.0 twice"),
        ({"config": {}, "grid": {"a": [{"b": 1}, {"b": 1}]}}, "grid.a", "twice"),
        ({"config": {}, "grid": {"a..b": [1]}}, "grid.a..b", "is no place"),
        ({"config": {"a": 3}, "grid": {"a.b": [1]}}, "grid.a.b", "config.a is 3, and no section"),
        ({"config": {}, "grid": {"a": [{}], "a.b": [1]}}, "grid.a.b", "lies in a"),
        ({"config": {}, "grid": {"a": [1]}, "configs": [{}]}, "grid", "cannot stand beside"),
        ({"configs": []}, "configs", "1 to 1000"),
        ({"configs": [{}] * 1001}, "configs", "holds 1001"),
        ({"config": {}, "grid": {"a": [*range(40)], "b": [*range(40)]}}, "grid", "has 1600"),
        ({"config": {}, "grid": {"experiment": ["a b"]}}, "config.experiment", "must be letters"),
        ({"config": {}, "configs": [{}, {"experiment": 3}]}, "configs.1.experiment", "must be"),
        ({"config": {}, "priority": 10**9}, "priority", "must be at most"),
    ],
)
def test_what_cannot_be_is_refused(bench, body, path, words):
    assert words in refused(bench, **body)[path]


def test_true_is_not_one_and_0_is_a_value(bench):
    sweep = bench.post("/runs", {"config": {}, "grid": {"a": [True, 1, 0, None, ""]}}, expect=201)
    assert [run["config"]["a"] for run in sweep["runs"]] == [True, 1, 0, None, ""]


def test_all_faults_of_all_configurations_are_told_at_once(bench):
    faults = refused(
        bench,
        config={"a": 1},
        configs=[{"experiment": "good"}, {"experiment": "not good"}, {"experiment": 3}],
    )
    assert set(faults) == {"configs.1.experiment", "configs.2.experiment"}


def test_what_a_short_grid_stands_for_is_not_without_bounds(bench, monkeypatch):
    monkeypatch.setattr("control_api.sweeps.MAX_SWEEP_BYTES", 10_000)
    faults = refused(bench, config={"text": "x" * 1000}, grid={"seed": [*range(20)]})
    assert "more than 10000 bytes" in faults["config"]


def test_a_repeated_sweep_makes_nothing_new(bench):
    body = {"config": {}, "grid": {"seed": [1, 2, 3]}}
    headers = {"Idempotency-Key": "k1"}
    first = bench.post("/runs", body, expect=201, headers=headers)
    again = bench.ask("POST", "/runs", body, headers=headers)
    assert (again.status_code, again.json["sweep"]) == (201, first["sweep"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [run["id"] for run in again.json["runs"]] == [run["id"] for run in first["runs"]]
    assert bench.get("/runs")["total"] == 3


def test_a_name_that_grows_too_long_is_cut(bench):
    grid = {"text": ["x" * 300, "line\nbreak"]}
    names = [
        r["name"] for r in bench.post("/runs", {"config": {}, "grid": grid}, expect=201)["runs"]
    ]
    assert len(names[0]) == 200
    assert names[0].endswith("…")
    assert names[1] == 'text="line\\nbreak"'


def test_a_thousand_runs_are_one_request(bench):
    body = {"config": {"a": {}}, "grid": {"a.b": [*range(1000)]}}
    sweep = bench.post("/runs", body, expect=201)
    assert len({run["id"] for run in sweep["runs"]}) == 1000
    assert [run["config"]["a"]["b"] for run in sweep["runs"]] == [*range(1000)]
