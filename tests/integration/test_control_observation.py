"""What a monitor, an orchestrator and whoever reads the log are told."""

import io
import json
import logging
import re
from datetime import timedelta

import pytest
from control_bench import Bench
from prometheus_client.parser import text_string_to_metric_families

from control_api import logs
from control_api.tables import AuditRow
from midcourse.contract.base import utc_now


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "home")
    yield bench
    bench.close()


@pytest.fixture
def log():
    """What is logged, a JSON object each."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    root = logging.getLogger("control_api")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


def scrape(bench):
    """Every sample by its name and labels."""
    answer = bench.client.get("/metrics", headers={"Authorization": f"Bearer {bench.token}"})
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


# -- Prometheus ------------------------------------------------------------------------------------


def test_a_scrape_tells_how_things_stand(bench):
    bench.submit(seed=1)
    bench.post("/runs", {"config": {}}, expect=201)
    seen = scrape(bench)
    assert seen["midcourse_database_up",] == 1
    assert seen["midcourse_runs", "starting"] == 1
    assert seen["midcourse_runs", "queued"] == 1
    assert seen["midcourse_runs", "finished"] == 0
    assert seen["midcourse_slots", "used"] == 1
    assert seen["midcourse_slots", "free"] == len(bench.settings.slots) - 1
    assert seen["midcourse_queue_length",] == 1
    assert seen["midcourse_trainers",] == 1
    assert seen["midcourse_events_total",] > 0


def test_commands_are_counted_by_state(bench):
    trainer = bench.submit()
    bench.post(f"/runs/{trainer.run}/pause", expect=202)
    assert scrape(bench)["midcourse_commands", "accepted"] == 1
    trainer.poll()
    seen = scrape(bench)
    assert seen["midcourse_commands", "accepted"] == 0
    assert seen["midcourse_commands", "delivered"] == 1


def test_a_reconciler_that_stands_still_is_seen(bench):
    assert scrape(bench)["midcourse_reconciler_round_age_seconds",] == float("inf")
    bench.clock = utc_now() - timedelta(seconds=77)
    bench.round()
    age = scrape(bench)["midcourse_reconciler_round_age_seconds",]
    assert 77 <= age < 100


def test_requests_are_counted_by_address_not_by_run(bench):
    runs = [bench.post("/runs", {"config": {}}, expect=201)["id"] for _ in range(3)]
    for run in runs:
        bench.get(f"/runs/{run}")
    bench.ask("GET", "/runs/nobody")
    bench.client.get("/nowhere")
    seen = scrape(bench)
    address = "/api/v1/runs/<run_id>"
    counted = {
        key[1:]: value for key, value in seen.items() if key[0] == "midcourse_requests_total"
    }
    assert counted[address, "GET", "200"] == 3
    assert counted[address, "GET", "404"] == 1
    assert counted["none", "GET", "401"] == 1
    assert not any(run in text for key in seen for text in key for run in runs)
    assert seen["midcourse_request_seconds_count", address, "GET"] == 4


def test_whoever_reads_it_needs_a_token(bench):
    answer = bench.client.get("/metrics")
    assert answer.status_code == 401
    assert answer.json["type"] == "/problems/unauthenticated"


# -- health ----------------------------------------------------------------------------------------


def test_it_is_ready_when_all_is_there(bench):
    bench.round()
    answer = bench.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["status"] == "ready"
    assert [check["name"] for check in answer.json["checks"]] == [
        "database",
        "migrations",
        "reconciler",
    ]


@pytest.mark.parametrize("seconds", [None, 60])
def test_without_a_reconciler_it_says_so(bench, seconds):
    if seconds is not None:
        bench.clock = utc_now() - timedelta(seconds=seconds)
        bench.round()
    answer = bench.client.get("/readyz")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/not-ready")
    checks = {check["name"]: check["ok"] for check in answer.json["checks"]}
    assert checks == {"database": True, "migrations": True, "reconciler": False}
    assert "reconciler" in answer.json["detail"]


def test_tables_of_another_version_are_named(bench):
    bench.round()
    bench.database.undo_migrations("0002")
    answer = bench.client.get("/readyz")
    assert answer.status_code == 503
    assert "The tables are at revision 0002, not 0" in answer.json["detail"]


@pytest.mark.only_on("sqlite")
def test_a_database_that_is_away_is_named_without_its_address(tmp_path):
    home = tmp_path / "home"
    bench = Bench(home)
    try:
        bench.database.engine.dispose()
        (home / "control.db").rename(home / "elsewhere")
        (home / "control.db").mkdir()
        answer = bench.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json["checks"] == [
            {"name": "database", "ok": False, "detail": "The database does not answer."}
        ]
        assert str(home) not in answer.text
        assert bench.client.get("/healthz").status_code == 200  # no restart would bring it back
    finally:
        bench.close()


# -- logs ------------------------------------------------------------------------------------------


def test_a_request_is_a_line_that_says_what_it_was_about(bench, log):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    answer = bench.ask("POST", f"/runs/{run}/pause", headers={"X-Request-Id": "ada-17.b"})
    assert answer.headers["X-Request-Id"] == "ada-17.b"
    line = log()[-1]
    assert line["message"].startswith(f"POST /api/v1/runs/{run}/pause: 202 in ")
    told = {name: line[name] for name in ("request", "run", "actor", "method", "status", "level")}
    assert told == {
        "request": "ada-17.b",
        "run": run,
        "actor": "admin",
        "method": "POST",
        "status": 202,
        "level": "INFO",
    }
    with bench.database.reading() as session:
        rows = session.query(AuditRow).order_by(AuditRow.id).all()
    assert rows[-1].request_id == "ada-17.b"


@pytest.mark.parametrize("given", ["", "a b", "a\u00e4", "x" * 41, "-a", 'a"b', "../a"])
def test_an_id_that_is_not_sane_is_replaced(bench, given):
    answer = bench.ask("GET", "/runs", headers={"X-Request-Id": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"])


def test_a_trainers_talk_is_told_only_to_those_who_debug(bench, log):
    trainer = bench.submit()
    trainer.poll()
    [line] = [line for line in log() if "/link/" in line["message"]]
    assert line["level"] == "DEBUG"
    assert (line["run"], line["attempt"]) == (trainer.run, 1)


def test_the_reconcilers_lines_say_which_run(bench, log):
    trainer = bench.submit()
    trainer.end(-9)
    bench.round()
    told = [line for line in log() if line["logger"].startswith("control_api.") and "run" in line]
    assert {"run": trainer.run} in [
        {"run": line["run"]} for line in told if "ended" in line["message"]
    ]


def test_what_is_about_one_thing_is_not_about_the_next(log):
    logger = logging.getLogger("control_api.test")
    with logs.about(run="r1", attempt=2):
        logger.info("first")
        with logs.about(attempt=3):
            logger.info("second")
    logger.info("third")
    assert [(line.get("run"), line.get("attempt")) for line in log()] == [
        ("r1", 2),
        ("r1", 3),
        (None, None),
    ]


def test_nothing_breaks_out_of_its_line(capsys):
    text = logging.Formatter
    for form in (logs.JsonLines(), logs.Words()):
        assert isinstance(form, text)
        record = logging.LogRecord("x", logging.INFO, "f", 1, "said", (), None)
        record.about = {"path": "/a\n2026 ERROR forged", "run": "r1"}
        assert len(form.format(record).splitlines()) == 1


def test_an_exception_is_a_part_of_its_line():
    try:
        raise ValueError("wrong")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "it failed", (), (ValueError, error, error.__traceback__)
        )
    [line] = logs.JsonLines().format(record).splitlines()
    assert "ValueError: wrong" in json.loads(line)["trace"]
