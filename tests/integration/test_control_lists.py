"""Lists of runs over HTTP: filters, sorting, pages, and words that are refused."""

import base64
import json

import pytest
from control_bench import Bench, metrics

from control_api.cursors import _check
from control_api.tables import RunRow
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def make(bench, count, **columns):
    """Runs without trainers: `r00`, `r01`, …, in the order in which they were made."""
    now = utc_now()
    with bench.database.writing() as session:
        session.add_all(
            RunRow(
                id=f"r{number:02}",
                created_by="admin",
                created_at=now,
                **{"experiment": "a", "config": {"seed": number}, **columns},
            )
            for number in range(count)
        )


def listed(bench, query=""):
    return [run["id"] for run in bench.get(f"/runs?{query}")["runs"]]


def test_each_filter_leaves_what_meets_it(bench):
    make(bench, 4)
    bench.ask("PATCH", "/runs/r00", {"tags": ["good", "two words"]})
    bench.ask("PATCH", "/runs/r01", {"tags": ["good"], "archived": True})
    with bench.database.writing() as session:
        session.get_one(RunRow, "r02").sweep = "s1"
        session.get_one(RunRow, "r03").parent_id = "r02"
        session.get_one(RunRow, "r03").status = "paused"
    assert listed(bench, "sort=id") == ["r00", "r02", "r03"]
    assert listed(bench, "sort=id&archived=any") == ["r00", "r01", "r02", "r03"]
    assert listed(bench, "archived=true") == ["r01"]
    assert listed(bench, "tag=good&archived=any&sort=id") == ["r00", "r01"]
    assert listed(bench, "tag=two words") == ["r00"]
    assert listed(bench, "tag=goo") == []
    assert listed(bench, "sweep=s1") == ["r02"]
    assert listed(bench, "parent=r02") == ["r03"]
    assert listed(bench, "prefix=r03") == ["r03"]
    assert listed(bench, "status=paused") == ["r03"]
    assert listed(bench, "status=paused, queued&sort=id") == ["r00", "r02", "r03"]
    assert listed(bench, "experiment=b") == []


def test_metrics_that_are_no_numbers_come_last_and_can_be_asked_for(bench):
    trainers = [bench.submit(seed=number) for number in range(4)]
    for trainer, value in zip(trainers, (0.5, "NaN", "Infinity", 0.25), strict=True):
        trainer.say(trainer.started(), metrics(0, **{"test/loss": value}))
    bench.submit(seed=9)
    ids = [trainer.run for trainer in trainers]
    best, nan, infinite, low = ids
    assert listed(bench, "sort=metrics.test/loss")[:4] == [low, best, infinite, nan]
    assert listed(bench, "sort=-metrics.test/loss")[:4] == [infinite, best, low, nan]
    assert listed(bench, "where=metrics.test/loss=NaN") == [nan]
    assert listed(bench, "where=metrics.test/loss=Infinity") == [infinite]
    assert {*listed(bench, "where=metrics.test/loss>0.3")} == {best, infinite}
    assert len(listed(bench, "where=metrics.test/loss=null")) == 1


def test_a_config_value_and_a_live_value_are_found_by_their_path(bench):
    trainer = bench.submit(optimizer={"name": "sgd", "lr": 0.1}, seed=1)
    bench.submit(optimizer={"name": "adam", "lr": 0.01}, seed=2)
    trainer.say(trainer.started())
    assert listed(bench, "where=config.optimizer.name=sgd") == [trainer.run]
    assert listed(bench, 'where=config."optimizer"."name"="sgd"') == [trainer.run]
    assert listed(bench, "where=config.optimizer.lr>=0.1,config.seed<2") == [trainer.run]
    assert listed(bench, "where=values.optimizer.lr<0.2") == [trainer.run]
    assert listed(bench, "where=config.optimizer.lr<0.1,step>3") == []


REFUSED = [
    ("where=lr>3", "where", "no field is called 'lr'"),
    ("where=stat=running", "where", "Did you mean status?"),
    ("where=step", "where", "is no condition"),
    ("where=step>", "where", "compared with a number or null"),
    ("where=step>many", "where", "compared with a number or null, not 'many'"),
    ("where=step>1,,step<3", "where", "one of them is empty"),
    ("where=", "where", "must match"),
    ("where=name=%00", "where", "must match"),
    ("where=metrics.loss=low", "where", "a metric is compared with a number, NaN"),
    ("where=metrics.loss<NaN", "where", "only compared by = and !="),
    ("where=config.flag>true", "where", "only compared by = and !="),
    ("where=step<null", "where", "only compared by = and !="),
    ("where=metrics.>3", "where", "'' is no name"),
    ('where=metrics."a>3', "where", "without its other one"),
    ('where=metrics.a"b"=3', "where", "put one with special characters in quotes"),
    ('where=metrics."\\ud800"=3', "where", "is not quoted as JSON has it"),
    ('where=metrics."\\u0000"=3', "where", "has a NUL"),
    ('where=name=a"b"', "where", "put the whole value in quotation marks"),
    ("where=config.a..b=3", "where", "is no name"),
    ("where=config." + ".".join("a" * 21) + "=3", "where", "21 names deep; 20 are allowed"),
    ("where=" + ",".join(["step>1"] * 21), "where", "has 21 conditions; 20 are allowed"),
    ("where=config.lr<1e999", "where", "too large for a 64-bit number"),
    ("where=created_at>yesterday", "where", "compared with a time, such as 2026-11-21T"),
    ("where=status=runing", "where", "status is one of queued, starting, running"),
    ("sort=loss", "sort", "no field is called 'loss'"),
    ("sort=--step", "sort", "no field is called '-step'"),
    ("sort=step,name,id,status,epoch,attempt", "sort", "names 6 fields; 5 are allowed"),
    ("status=runing", "status", "must be statuses with commas between"),
    ("archived=maybe", "archived", "must be 'false', 'true' or 'any'"),
    ("tag=a,b", "tag", "must match"),
    ("limit=0", "limit", "at least 1"),
    ("limit=501", "limit", "at most 500"),
    ("cursor=nonsense", "cursor", "is not one that this API made"),
    ("cursor=", "cursor", "is not one that this API made"),
    ("cursor=ü", "cursor", "is not one that this API made"),
]


def test_words_that_mean_nothing_are_refused_with_what_is_allowed(bench):
    for query, path, message in REFUSED:
        answer = bench.ask("GET", f"/runs?{query}")
        assert answer.status_code == 422, (query, answer.text)
        assert [fault["path"] for fault in answer.json["faults"]] == [path], query
        assert message in answer.json["faults"][0]["message"], query


def test_strange_names_and_values_are_only_names_and_values(bench):
    make(bench, 1, latest={"a=b, 'c'": [0, 1.0]}, live_values={"lr": "x') OR 1=1 --"})
    assert listed(bench, "where=metrics.\"a=b, 'c'\">=1") == ["r00"]
    assert listed(bench, 'where=values.lr="x\') OR 1=1 --"') == ["r00"]
    assert listed(bench, "where=name=') OR 1=1 --") == []
    assert listed(bench, "where=config.x');DROP TABLE runs;--=1") == []
    assert listed(bench, "sort=-metrics.') DESC; SELECT 1") == ["r00"]


def test_a_page_goes_on_where_the_one_before_ended_while_runs_are_added(bench):
    make(bench, 5)
    first = bench.get("/runs?limit=2")
    assert (first["total"], [run["id"] for run in first["runs"]]) == (5, ["r00", "r01"])
    new = bench.post("/runs", {"config": {}}, expect=201)["id"]
    second = bench.get(f"/runs?limit=2&cursor={first['next_cursor']}")
    third = bench.get(f"/runs?limit=2&cursor={second['next_cursor']}")
    rest = [run["id"] for page in (second, third) for run in page["runs"]]
    assert rest == ["r02", "r03", "r04"]
    assert third["next_cursor"] is None
    assert third["total"] == 6
    assert listed(bench)[0] == new


def test_a_cursor_belongs_to_its_filter_and_its_sort(bench):
    make(bench, 3)
    cursor = bench.get("/runs?limit=1&sort=id")["next_cursor"]
    assert listed(bench, f"limit=2&sort=id&cursor={cursor}") == ["r01", "r02"]
    for other in ("sort=-id", "sort=id&experiment=a", "sort=id&where=step=null", "archived=any"):
        answer = bench.ask("GET", f"/runs?limit=1&cursor={cursor}&{other}")
        assert answer.status_code == 422
        assert "belongs to another filter or sort" in answer.json["faults"][0]["message"]


def test_a_cursor_that_was_tampered_with_is_refused(bench):
    make(bench, 3, latest={"loss": [0, 0.5]})
    query = "limit=1&sort=metrics.loss,name,created_at"
    cursor = bench.get(f"/runs?{query}")["next_cursor"]
    for place in range(len(cursor)):
        letter = "A" if cursor[place] != "A" else "B"
        changed = cursor[:place] + letter + cursor[place + 1 :]
        answer = bench.ask("GET", f"/runs?{query}&cursor={changed}")
        same = _decoded(changed) == _decoded(cursor)  # bits that base64 does not use
        assert answer.status_code == (200 if same else 422), answer.text


def _decoded(cursor):
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


FORGED = [
    [],
    [1, {"n": "0.5"}, "", 0, "", "2026-01-01T00:00:00+00:00"],
    ["1", {"n": "0.5"}, "", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "many"}, "", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {}, "", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, [], "", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, None, 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, "\0", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, "\ud800", 1, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, "", True, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, "", 2**63, "", "2026-01-01T00:00:00+00:00", "r00"],
    [1, {"n": "0.5"}, "", 1, "", "2026-01-01T00:00:00", "r00"],
    [1, {"n": "0.5"}, "", 1, "", "now", "r00"],
    {"a": 1},
    3,
]


def test_a_cursor_that_somebody_made_is_refused_however_well(bench):
    make(bench, 2, latest={"loss": [0, 0.5]})
    query = "limit=1&sort=metrics.loss,name,created_at"
    fingerprint, said = json.loads(_decoded(bench.get(f"/runs?{query}")["next_cursor"])[6:])
    assert len(said) == 7
    for values in FORGED:
        answer = bench.ask("GET", f"/runs?{query}&cursor={forged(fingerprint, values)}")
        assert answer.status_code == 422, (values, answer.text)


def forged(fingerprint, values):
    payload = json.dumps([fingerprint, values]).encode()
    return base64.urlsafe_b64encode(_check(payload) + payload).decode().rstrip("=")


def test_a_forged_number_breaks_nothing(bench):
    make(bench, 2, latest={"loss": [0, 0.5]})
    query = "limit=1&sort=metrics.loss"
    fingerprint, _ = json.loads(_decoded(bench.get(f"/runs?{query}")["next_cursor"])[6:])
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-0", "1E+400", "1e99999999"):
        cursor = forged(fingerprint, [1, {"n": number}, "", "r00"])
        status = bench.ask("GET", f"/runs?{query}&cursor={cursor}").status_code
        assert status in (200, 422), number
