"""The API holds what its OpenAPI document says, whatever is sent to it (schemathesis).

Each operation gets its examples, the edges of every schema, and what the fuzzer makes of them,
valid and not, over runs in all states. Nothing may be a fault of ours (5xx), a status or a problem
that is not documented, an answer that is not as its schema says, bad input that is taken, or a
request without a token that is answered.
"""

import re
from pathlib import Path
from zlib import crc32

import pytest
import schemathesis
from control_bench import Bench, BenchTrainer, metrics, status
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from control_api.answers import EVENTS
from control_api.slots import cpu_slots
from midcourse.contract.names import RUN_ID_PATTERN

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
CONFIG = {
    "base-url": "http://localhost",
    "generation": {"deterministic": True, "max-examples": 12, "no-shrink": True},
}
BEYOND_SCHEMAS = {
    "",  # two that exclude each other
    "at",  # is past
    "Prefer",  # what stands behind its wait
    *("changes", "checkpoint"),  # the run has none of that name
    *("source", "image", "command"),  # are judged by where the control API is
    *("config", "configs", "grid", "filter"),
    *("cursor", "Last-Event-ID"),
    *("kinds", "sort", "status", "where"),  # words with commas between
}
"""What is judged by more than its schema, so that a good form may still be refused."""
schema = schemathesis.openapi.from_path(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, slots=cpu_slots(20), max_failed_logins=1_000_000)
    yield bench
    bench.close()


@pytest.fixture
def runs(bench):
    """Runs in all states; the first one has commands, a fork and checkpoints."""
    live = trained(bench)
    live.say(live.checkpoint("initial"), live.checkpoint("step-9", best=True))
    bench.ask("PATCH", f"/runs/{live.run}/params", {"optimizer.lr": 0.2})
    live.say(live.done(live.poll()[0], before={"optimizer.lr": 0.1}, step=1))
    bench.post(f"/runs/{live.run}/pause?at=step:90", expect=202)
    fork = bench.post(f"/runs/{live.run}/fork", {"checkpoint": "best"}, expect=201)["id"]
    queued = bench.post("/runs", {"config": {}, "experiment": "tour"}, expect=201)["id"]
    found = [live.run, fork, queued]
    for word in ("paused", "suspended", "interrupted", "finished", "failed"):
        trainer = trained(bench)
        trainer.say(status(word))
        found.append(trainer.run)
    return found


def trained(bench: Bench) -> BenchTrainer:
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started(), metrics(0, loss=2.0, acc=0.5), metrics(1, loss="NaN"))
    return trainer


@schema.parametrize()
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_the_api_is_as_it_is_documented(bench, runs, case):
    named = str(case.path_parameters.get("run_id", ""))
    if re.fullmatch(RUN_ID_PATTERN, named):  # a good one is as good as any
        case.path_parameters["run_id"] = runs[crc32(named.encode()) % len(runs)]
    if str(case.headers.get("Prefer", "")).startswith("wait="):  # nobody trains here
        case.headers["Prefer"] = "wait=0"
    case.operation.app = case.operation.schema.app = begun(bench.app)
    headers = {"Authorization": f"Bearer {bench.token}"}
    response = case.call(headers=headers)
    excluded = [positive_data_acceptance] if is_beyond_schemas(case, response) else []
    if case.operation.path == "/api/v1/runs/actions":
        excluded.append(allow_header_conformance)  # it is also the address of a run "actions"
    case.validate_response(response, headers=headers, excluded_checks=excluded)


def begun(app):
    """An application whose streams end as they begin: some have no end of their own."""

    def serve(environ, start_response):
        told = []

        def note(status, headers, *more):
            told.extend([status, dict(headers)["Content-Type"]])
            return start_response(status, headers, *more)

        body = app(environ, note)
        is_stream = told[1].startswith(EVENTS) or "follow=" in environ["QUERY_STRING"]
        if is_stream and told[0].startswith("200"):
            body.close()
            return []
        return body

    return serve


def is_beyond_schemas(case, response) -> bool:
    """Whether a request was refused for what a schema cannot say."""
    if response.status_code == 412:
        return "If-Match" in case.headers
    if response.status_code == 400:
        return "the character NUL" in response.json()["detail"]  # nowhere in a body, at any depth
    if response.status_code != 422:
        return False
    faults = [
        fault
        for fault in response.json()["faults"]
        # JSON Schema takes 1.0 for a whole number; we do not.
        if not re.search(r"must be a whole number, not -?[0-9]+\.0$", fault["message"])
    ]
    paths = {fault["path"].partition(".")[0] for fault in faults}
    names_are_the_runs = case.operation.label == "PATCH /api/v1/runs/{run_id}/params"
    return paths <= BEYOND_SCHEMAS or names_are_the_runs
