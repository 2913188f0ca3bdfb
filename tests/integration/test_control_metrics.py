"""`GET /runs/{id}/metrics`: pages, overviews, and names of any kind."""

import json
import math

import pytest
from control_bench import Bench, lines, metrics, status

from control_api.metric_series import asked_keys


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "home")
    yield bench
    bench.close()


@pytest.fixture
def trainer(bench):
    trainer = bench.submit()
    trainer.say(trainer.started())
    return trainer


def ask(trainer, **query):
    answer = trainer.bench.ask("GET", f"/runs/{trainer.run}/metrics", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["metrics"]


def test_the_first_value_of_a_step_is_kept_and_the_latest_is_shown(trainer):
    trainer.say(metrics(0, loss=1.0), metrics(1, loss=0.5), metrics(2, loss="NaN"))
    trainer.say(metrics(1, loss=7.0), metrics(2, loss=7.0), metrics(3, loss="-Infinity"))
    series = ask(trainer)["loss"]
    assert series == {
        "steps": [0, 1, 2, 3],
        "values": [1.0, 0.5, "NaN", "-Infinity"],
        "next_step": None,
    }
    assert trainer.bench.get(f"/runs/{trainer.run}")["metrics"] == {"loss": "-Infinity"}


def test_pages_follow_each_other_without_loss_or_double(trainer):
    trainer.say(*[metrics(step, loss=float(step)) for step in range(0, 50, 2)])
    steps, since = [], 0
    while since is not None:
        page = ask(trainer, keys="loss", limit=7, since_step=since)["loss"]
        assert len(page["steps"]) <= 7
        steps += page["steps"]
        since = page["next_step"]
    assert steps == list(range(0, 50, 2))
    assert ask(trainer, since_step=11, until_step=16)["loss"]["steps"] == [12, 14, 16]


def test_an_overview_keeps_ends_spikes_and_what_is_no_number(trainer):
    values = [math.sin(step / 50) for step in range(3000)]
    values[1234], values[2345], values[345] = 99.0, math.nan, -math.inf
    words = {math.inf: "Infinity", -math.inf: "-Infinity"}
    said = ["NaN" if value != value else words.get(value, value) for value in values]
    trainer.say(*[metrics(step, loss=value) for step, value in enumerate(said)])
    told = ask(trainer, max_points=100)["loss"]
    assert len(told["steps"]) <= 100
    assert told["next_step"] is None
    at = dict(zip(told["steps"], told["values"], strict=True))
    assert (at[0], at[2999], at[1234], at[345], at[2345]) == (
        values[0],
        values[2999],
        99.0,
        "-Infinity",
        "NaN",
    )
    assert all(said[step] == value for step, value in at.items())
    near = ask(trainer, max_points=100, since_step=1230, until_step=1239)["loss"]
    assert near["values"] == values[1230:1240]


def test_of_a_series_that_is_short_an_overview_is_all(trainer):
    trainer.say(*[metrics(step, loss=float(step)) for step in range(10)])
    assert ask(trainer, max_points=10)["loss"]["steps"] == list(range(10))
    trainer.say(metrics(10, loss=10.0))
    assert len(ask(trainer, max_points=10)["loss"]["steps"]) < 11


def test_of_very_many_metrics_each_has_fewer_points(trainer, monkeypatch):
    monkeypatch.setattr("control_api.metric_series.MOST_POINTS", 40)
    names = {f"m{number}": 1.0 for number in range(4)}
    trainer.say(*[metrics(step, **names) for step in range(30)])
    page = ask(trainer, limit=1000)
    assert {len(series["steps"]) for series in page.values()} == {10}
    assert {series["next_step"] for series in page.values()} == {10}
    assert all(len(series["steps"]) <= 10 for series in ask(trainer, max_points=1000).values())
    assert len(ask(trainer, keys="m0", limit=1000)["m0"]["steps"]) == 30


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("max_points=9", "max_points"),
        ("max_points=100001", "max_points"),
        ("limit=0", "limit"),
        ("max_points=10&limit=10", "exclude each other"),
        ("since_step=-1", "since_step"),
        ("keys=a&keys=b", "stands twice"),
        ("riddle=1", "riddle"),
    ],
)
def test_what_cannot_be_asked_is_a_problem(trainer, query, message):
    answer = trainer.bench.ask("GET", f"/runs/{trainer.run}/metrics?{query}")
    assert answer.status_code == 422
    assert message in answer.text


NAMES = ["loss", "a,b", "with space", " edges ", "back\\slash", "é/ü", "100%", "a&b=c", "tab\tx"]


def test_any_name_can_be_logged_and_asked_for(trainer):
    trainer.say(metrics(0, **{name: float(number) for number, name in enumerate(NAMES)}))
    assert set(ask(trainer)) == set(NAMES)
    for number, name in enumerate(NAMES):
        asked = name.replace("\\", "\\\\").replace(",", "\\,").replace(" ", "\\ ")
        assert ask(trainer, keys=asked) == {
            name: {"steps": [0], "values": [float(number)], "next_step": None}
        }
    assert ask(trainer, keys="nothing")["nothing"]["steps"] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("b, a ,b", ["a", "b"]),
        ("", []),
        (" , ", []),
        (r"a\,b,c", ["a,b", "c"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"\ a\ , b", [" a ", "b"]),
        ("a b", ["a b"]),
        ("a\\", ["a\\"]),
    ],
)
def test_names_in_a_query(text, names):
    assert asked_keys(text) == names


def test_a_name_that_no_database_holds_does_not_hold_up_the_rest(trainer):
    line = json.dumps({"type": "metrics", "time": 0.0, "step": 0, "values": {"a\0b\ud800": 1.0}})
    long = {"n" * 201: 1.0, "n" * 200: 2.0}
    answer = trainer.ship(line.encode() + b"\n" + lines(metrics(0, **long, loss=1.0)))
    assert answer.status_code == 200, answer.text
    assert set(ask(trainer)) == {"a\ufffdb\ufffd", "n" * 200, "loss"}
    run = trainer.bench.get(f"/runs/{trainer.run}")
    assert run["notice"].startswith("The metric " + "n" * 40 + "… is not kept")


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"metrics","time":0.0,"step":0,"values":{"a":1.0,"a":2.0}}',
        b'{"type":"metrics","time":0.0,"step":0,"step":1,"values":{"a":1.0}}',
        b'{"type":"metrics","time":0.0,"step":0,"values":{"a":1e999}}',
        b'{"type":"metrics","time":0.0,"step":0,"values":{"a":NaN}}',
        b'{"type":"metrics","time":0.0,"step":0.5,"values":{"a":1.0}}',
        b'{"type":"metrics","time":0.0,"step":0,"values":{"a":true}}',
    ],
)
def test_numbers_that_cannot_have_been_meant_are_refused_as_before(trainer, line):
    trainer.ship(line + b"\n" + lines(metrics(1, a=1.0)))
    assert ask(trainer)["a"]["steps"] == [1]
    assert "damaged line" in trainer.bench.get(f"/runs/{trainer.run}")["notice"]


def test_a_run_that_ended_is_read_from_its_chunks_alone(trainer):
    trainer.say(metrics(0, loss=1.0))
    trainer.say(metrics(1, loss=2.0), status("finished", step=1))
    trainer.bench.round()
    assert ask(trainer)["loss"]["values"] == [1.0, 2.0]
    with trainer.bench.database.engine.connect() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            for table in ("metric_batches", "metric_chunks")
        ]
    assert counts == [0, 1]
