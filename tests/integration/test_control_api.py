"""What people see of the control API, over HTTP, with a real database."""

import threading

import pytest
from control_bench import Bench, metrics, status

from control_api.tables import AuditRow, TokenRow
from control_api.tokens import ensure_admin


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def run(bench):
    """A run that trains."""
    trainer = bench.submit(seed=1)
    trainer.say(trainer.started())
    return trainer


# Who may come in


def test_health_needs_no_token(bench):
    answer = bench.client.get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "Send your token"),
        ("Bearer", "must read 'Bearer <token>'"),
        ("Basic YTpi", "must read 'Bearer <token>'"),
        ("Bearer mc_wrong", "is not known"),
        ("Bearer ünknown", "is not known"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/api/v1/nowhere", "/", "/api/v1/runs/r/link/report"]
)
def test_without_a_known_token_nothing_is_told(bench, header, message, path):
    headers = {"Authorization": header} if header else {}
    answer = bench.client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.content_type == "application/problem+json"
    assert message in answer.json["detail"]


@pytest.mark.parametrize(
    ("headers", "status_code"),
    [
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8080"}, 403),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8080"}, 200),
        ({"Host": "localhost:8080", "Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_foreign_names_and_pages_are_turned_away(bench, headers, status_code):
    answer = bench.ask("GET", "/runs", headers=headers)
    assert answer.status_code == status_code
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_configured_name_is_ours(tmp_path):
    bench = Bench(tmp_path, allowed_hosts=frozenset({"lab.example"}))
    assert bench.ask("GET", "/runs", headers={"Host": "lab.example:80"}).status_code == 200
    bench.close()


def test_only_the_hash_of_a_token_is_stored_and_the_file_is_private(bench):
    with bench.database.reading() as session:
        row = session.query(TokenRow).one()
        assert bench.token not in (row.sha256, row.name)
    assert bench.settings.token_file.read_text().strip() == bench.token
    assert bench.settings.token_file.stat().st_mode & 0o777 == 0o600


def test_a_later_start_tells_the_token_only_if_its_file_holds_it(bench):
    with bench.database.writing() as session:
        assert ensure_admin(session, bench.settings.token_file) == bench.token
        bench.settings.token_file.write_text("mc_something_else")
        assert ensure_admin(session, bench.settings.token_file) is None
        bench.settings.token_file.unlink()
        assert ensure_admin(session, bench.settings.token_file) is None
    assert bench.ask("GET", "/runs").status_code == 200


# Submitting and looking


def test_a_run_is_submitted_and_found(bench):
    body = {"experiment": "digits", "name": "first", "config": {"seed": 3}}
    answer = bench.ask("POST", "/runs", body)
    assert answer.status_code == 201
    run = answer.json
    assert answer.headers["Location"] == f"/api/v1/runs/{run['id']}" == run["links"]["self"]
    assert (run["status"], run["name"], run["created_by"]) == ("queued", "first", "admin")
    assert run["config"] == {"seed": 3, "experiment": "digits"}
    assert bench.get(f"/runs/{run['id']}") == run


def test_the_config_may_name_the_experiment(bench):
    assert bench.post("/runs", {"config": {"experiment": "a"}}, expect=201)["experiment"] == "a"
    assert bench.post("/runs", {"config": {}}, expect=201)["experiment"] == "default"


def test_runs_are_listed_newest_first_and_filtered(bench):
    first = bench.post("/runs", {"config": {}, "experiment": "a"}, expect=201)["id"]
    second = bench.post("/runs", {"config": {}, "experiment": "b"}, expect=201)["id"]
    bench.post(f"/runs/{first}/stop", expect=202)
    bench.round()
    assert [run["id"] for run in bench.get("/runs")["runs"]] == [second, first]
    assert [run["id"] for run in bench.get("/runs?experiment=b")["runs"]] == [second]
    assert [run["id"] for run in bench.get("/runs?status=stopped")["runs"]] == [first]
    assert bench.get("/runs?status=failed")["runs"] == []


def test_a_value_that_means_nothing_now_is_not_shown(bench, run):
    """Null is shown where a parameter may be set to it."""
    run.say(run.started(**{"optimizer.betas": None, "train.grad_clip": None, "data.noise": None}))
    shown = {"optimizer.lr": 0.1, "mixup": 0.2, "train.grad_clip": None, "data.noise": None}
    assert bench.get(f"/runs/{run.run}")["values"] == shown
    assert bench.get(f"/runs/{run.run}/params")["values"] == shown


def test_a_live_run_shows_where_it_is(bench, run):
    run.say(metrics(0, loss=2.0), metrics(1, loss="NaN"), run.checkpoint("step-1"))
    run.beat(step=49, epoch=2, steps_per_second=10.0, total_steps=100)
    seen = bench.get(f"/runs/{run.run}")
    assert (seen["status"], seen["step"], seen["epoch"], seen["attempt"]) == ("running", 49, 2, 1)
    assert (seen["total_steps"], seen["eta_seconds"]) == (100, 5.0)
    assert seen["metrics"] == {"loss": "NaN"}
    assert seen["values"] == {"optimizer.lr": 0.1, "mixup": 0.2}
    assert seen["checkpoints"] == 1


def test_metrics_keep_the_first_value_and_come_in_order_of_steps(bench, run):
    run.say(metrics(0, loss=2.0, acc=0.5), metrics(1, loss="NaN"), metrics(2, loss="-Infinity"))
    run.say(metrics(1, loss=9.0), metrics(3, loss=1.0))
    path = f"/runs/{run.run}/metrics"
    everything = bench.get(path)["metrics"]
    assert everything["acc"] == {"steps": [0], "values": [0.5], "next_step": None}
    assert everything["loss"]["values"] == [2.0, "NaN", "-Infinity", 1.0]
    some = bench.get(f"{path}?keys=loss,unheard&since_step=1&limit=2")["metrics"]
    assert some == {
        "loss": {"steps": [1, 2], "values": ["NaN", "-Infinity"], "next_step": 3},
        "unheard": {"steps": [], "values": [], "next_step": None},
    }


# What is refused, and how


@pytest.mark.parametrize(
    ("method", "path", "options", "code", "message"),
    [
        ("GET", "/nowhere", {}, 404, "nothing at this address"),
        ("DELETE", "/runs", {}, 405, "DELETE is not understood here"),
        ("GET", "/runs/rnobody", {}, 404, "no run 'rnobody'"),
        ("GET", "/runs/r%00", {}, 404, "no run"),
        ("GET", "/runs/RUN/commands/7", {}, 404, "no command 7; its last is number 0"),
        ("GET", f"/runs/RUN/commands/{10**30}", {}, 404, "no command"),
        ("GET", "/runs/RUN/commands/-1", {}, 404, "no command -1"),
        ("GET", f"/runs/RUN/commands/-{10**30}", {}, 404, "no command"),
        ("DELETE", "/runs/RUN/commands/7", {}, 404, "no command 7"),
        ("DELETE", "/runs/RUN/commands/7?at=step:9", {}, 422, "at: is not a known key"),
        ("POST", "/runs/RUN/explode", {}, 404, "nothing at this address"),
        ("GET", "/runs?status=tired", {}, 422, "status: "),
        ("GET", "/runs?statsu=failed", {}, 422, "statsu: is not a known key"),
        ("GET", "/runs?status=failed&status=queued", {}, 422, "status: stands twice"),
        ("GET", "/runs/RUN/metrics?since_step=x", {}, 422, "since_step: "),
        ("GET", f"/runs/RUN/metrics?since_step={10**30}", {}, 422, "since_step: "),
        ("GET", "/runs/RUN/metrics?limit=0", {}, 422, "limit: "),
        ("POST", "/runs", {"body": {}}, 422, "config: is missing"),
        ("POST", "/runs", {"body": {"config": []}}, 422, "config: must be an object"),
        ("POST", "/runs", {"body": {"config": {}, "id": "mine"}}, 422, "id: is not a known key"),
        ("POST", "/runs", {"body": {"config": {}, "name": ""}}, 422, "name: "),
        ("POST", "/runs", {"body": {"config": {"experiment": "a b"}}}, 422, "config.experiment:"),
        ("POST", "/runs", {"body": {"config": {"experiment": 3}}}, 422, "config.experiment:"),
        (
            "POST",
            "/runs",
            {"body": {"config": {"experiment": "a"}, "experiment": "b"}},
            422,
            "give one of them",
        ),
        ("POST", "/runs", {"data": b"{}"}, 415, "Content-Type is missing"),
        ("POST", "/runs", {"data": b"a=1", "content_type": "text/plain"}, 415, "text/plain"),
        ("POST", "/runs", {"raw": b"[1]"}, 400, "must be a JSON object"),
        ("POST", "/runs", {"raw": b"{"}, 400, "not JSON"),
        ("POST", "/runs", {"raw": b'{"config": {"lr": NaN}}'}, 400, "NaN is not a JSON number"),
        ("POST", "/runs", {"raw": b'{"config": {"lr": 1e999}}'}, 400, "too large"),
        ("POST", "/runs", {"raw": b'{"config": {}, "config": {}}'}, 400, "stands twice"),
        ("POST", "/runs", {"raw": b'{"name": "\xff"}'}, 400, "not text in UTF-8"),
        ("POST", "/runs", {"raw": b'{"name": "\\ud800"}'}, 400, "not text in UTF-8"),
        ("POST", "/runs", {"raw": b'{"name": "\\u0000"}'}, 400, "the character NUL"),
        ("POST", "/runs", {"raw": b'{"a": ' + b"9" * 5000 + b"}"}, 400, "not JSON"),
        ("POST", "/runs", {"raw": b"[" * 100_000}, 400, "nested too deeply"),
        ("POST", "/runs", {"raw": b" " * 1_000_001}, 413, "larger than"),
        ("POST", "/runs/RUN/pause", {"body": {"now": True}}, 422, "now: is not a known key"),
        ("POST", "/runs/RUN/pause?why=x", {}, 422, "why: is not a known key"),
        ("POST", f"/runs/RUN/pause?reason={'x' * 2001}", {}, 422, "reason: "),
        ("POST", "/runs/RUN/pause", {"headers": {"Prefer": "wait=soon"}}, 422, "Prefer: wait"),
        ("POST", "/runs/RUN/fork", {"body": {"checkpoint": "step-5"}}, 422, "no checkpoint 'step"),
        ("POST", "/runs/RUN/fork", {"body": {"checkpoint": "../x"}}, 422, "it has: none yet"),
        ("POST", "/runs/RUN/fork", {"body": {"changes": {"x": 1}}}, 422, "changes.x: is not a"),
        ("POST", "/runs/RUN/revert", {}, 422, "checkpoint: is missing"),
        ("POST", "/runs/RUN/fork?at=step:9", {}, 422, "at: is not a known key"),
        ("POST", "/runs/RUN/fork", {"body": {"config": []}}, 422, "config: must be an object"),
        (
            "POST",
            "/runs/RUN/fork",
            {"body": {"config": {"experiment": "a b"}}},
            422,
            "config.experiment: must be letters",
        ),
        ("POST", "/runs/RUN/pause?at=500", {}, 422, "at: must be step:N or epoch:N"),
        ("POST", "/runs/RUN/pause?at=", {}, 422, "at: must be step:N or epoch:N"),
        ("POST", "/runs/RUN/pause?at=step:-1", {}, 422, "at: must be step:N or epoch:N"),
        ("POST", "/runs/RUN/pause?at=step:5%0a", {}, 422, "at: must be step:N or epoch:N"),
        ("POST", f"/runs/RUN/pause?at=epoch:{2**53}", {}, 422, "from 0 to 9007199254740991"),
        ("POST", "/runs/RUN/pause?dry_run=1", {}, 422, "dry_run: must be true or false"),
        ("POST", "/runs/RUN/resume", {"body": {"steps": 0}}, 422, "steps: must be at least 1"),
        ("POST", "/runs/RUN/resume", {"body": {"steps": True}}, 422, "steps: must be a whole"),
        ("POST", "/runs/RUN/reinitialise", {}, 422, "layers: is missing"),
        ("POST", "/runs/RUN/reinitialise", {"body": {"layers": []}}, 422, "layers: "),
        ("POST", "/runs/RUN/reinitialise", {"body": {"layers": "fc"}}, 422, "must be a list"),
        ("POST", "/runs/RUN/undo", {"body": {"to": 3}}, 422, "to: is not a known key"),
        ("POST", "/runs/RUN/replay", {"body": {"seed": 3}}, 422, "seed: is not a known key"),
        ("POST", "/runs/rnobody/replay", {}, 404, "no run 'rnobody'"),
        ("GET", "/runs/rnobody/journal", {}, 404, "no run 'rnobody'"),
        ("POST", "/runs/RUN/pause", {"headers": {"Idempotency-Key": ""}}, 422, "Idempotency-Key:"),
        (
            "POST",
            "/runs/RUN/pause",
            {"headers": {"Idempotency-Key": "x" * 201}},
            422,
            "Idempotency-Key: must be 1 to 200",
        ),
        ("POST", "/runs/RUN/pause", {"headers": {"Idempotency-Key": "a b"}}, 422, "without spaces"),
        ("POST", "/runs/RUN/pause", {"headers": {"Idempotency-Key": '"a'}}, 422, "quotation"),
        (
            "POST",
            "/runs/RUN/fork?dry_run=true",
            {"headers": {"Idempotency-Key": "a b"}},
            422,
            "without spaces",
        ),
        ("GET", "/audit?since=0.5", {}, 422, "since: must be a time with its zone"),
        ("PATCH", "/runs/RUN/params", {}, 422, "names no parameter"),
        (
            "PATCH",
            "/runs/RUN/params",
            {"body": {"optimizer.lr": {"value": 1, "mode": "nudge"}}},
            422,
            "mode must be one of",
        ),
        ("PATCH", "/runs/RUN/params", {"body": {"optimizer.lr": "true"}}, 422, "must be a number"),
        ("PATCH", "/runs/RUN/params", {"body": {"optimizer.lr": True}}, 422, "not true"),
        ("PATCH", "/runs/RUN/params", {"body": {"optimizer.lr": None}}, 422, "not null"),
        ("PATCH", "/runs/RUN/params", {"body": {"optimizer.lr": 10**400}}, 422, "finite"),
        ("PATCH", "/runs/RUN/params", {"body": {"optimizer.lr": -1}}, 422, "optimizer.lr: must"),
        ("PATCH", "/runs/RUN/params", {"body": {"mixup": 1.5}}, 422, "at most 1"),
        ("PATCH", "/runs/RUN/params", {"body": {"optimzer.lr": 1}}, 422, "mean optimizer.lr?"),
    ],
)
def test_hostile_and_mistaken_requests(bench, run, method, path, options, code, message):
    options = dict(options)  # the same one is for the other kind of database, too
    if (raw := options.pop("raw", None)) is not None:
        options = {"data": raw, "content_type": "application/json"}
    answer = bench.ask(method, path.replace("RUN", run.run), **options)
    assert answer.status_code == code, answer.text
    assert answer.content_type == "application/problem+json"
    problem = answer.json
    assert message in problem["detail"]
    assert problem["status"] == code
    assert problem["title"]
    assert bench.get(f"/runs/{run.run}/commands")["commands"] == []


def test_every_fault_is_named_at_once(bench, run):
    changes = {"optimizer.lr": "x", "mixup": 2, "nope": 1, "model.dropout": 0.1}
    answer = bench.ask("PATCH", f"/runs/{run.run}/params", changes)
    assert [fault["path"] for fault in answer.json["faults"]] == ["optimizer.lr", "mixup", "nope"]
    assert answer.json["faults"][1]["allowed"]["maximum"] == 1.0


def test_a_fault_of_ours_is_a_500_that_says_nothing_of_the_inside(bench, caplog):
    bench.app.add_url_rule("/boom", "boom", lambda: 1 / 0)
    answer = bench.client.get("/boom", headers={"Authorization": f"Bearer {bench.token}"})
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "ZeroDivision" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_the_schema_says_what_may_stand_beside_a_value(bench, run):
    lr = bench.get(f"/runs/{run.run}/params")["schema"]["properties"]["optimizer.lr"]
    plain, long = lr["anyOf"]
    assert plain["exclusiveMinimum"] == 0.0
    assert long["properties"]["mode"]["enum"] == ["rebase", "override", "scale"]


# Commands


def test_a_command_is_accepted_delivered_and_applied(bench, run):
    answer = bench.ask("PATCH", f"/runs/{run.run}/params?reason=plateau", {"optimizer.lr": 1})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{run.run}/commands/1"
    assert (answer.json["state"], answer.json["receipt"]) == ("accepted", None)
    (command,) = run.poll()
    assert command["action"] == {"kind": "set", "changes": {"optimizer.lr": 1.0}}
    assert (command["actor"], command["reason"]) == ("admin", "plateau")
    assert bench.get(f"/runs/{run.run}/commands/1")["state"] == "delivered"
    run.say(run.done(command, step=5, before={"optimizer.lr": 0.1}, after={"optimizer.lr": 1.0}))
    seen = bench.get(f"/runs/{run.run}/commands/1")
    assert (seen["state"], seen["receipt"]["step"]) == ("applied", 5)
    assert bench.get(f"/runs/{run.run}/params")["values"]["optimizer.lr"] == 1.0


def test_nobody_chooses_the_actor(bench, run):
    headers = {"X-Midcourse-Actor": "somebody else"}
    seen = bench.post(f"/runs/{run.run}/pause", expect=202, headers=headers)
    assert seen["actor"] == "admin"
    with bench.database.reading() as session:
        audited = [(row.actor, row.action, row.run_id, row.seq) for row in session.query(AuditRow)]
    assert audited == [("admin", "submit", run.run, None), ("admin", "pause", run.run, 1)]


def answering(run, outcome):
    """A trainer that takes the next command and ends it as `outcome` says."""

    def act():
        (command,) = run.poll(wait=20)
        run.say(outcome(command))

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_waiting_gives_the_receipt(bench, run):
    thread = answering(run, lambda command: run.done(command, step=8))
    answer = bench.ask("POST", f"/runs/{run.run}/pause", headers={"Prefer": "wait=20"})
    thread.join()
    assert (answer.status_code, answer.json["receipt"]["step"]) == (200, 8)
    assert answer.headers["Preference-Applied"] == "wait=20"


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_waiting_for_what_does_not_act_is_never_a_success(bench, run, state):
    thread = answering(run, lambda command: run.done(command, state, reason="already paused"))
    answer = bench.ask("POST", f"/runs/{run.run}/pause", headers={"Prefer": "wait=20"})
    thread.join()
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/command-not-applied")
    assert answer.json["detail"].endswith(": already paused")
    assert (answer.json["receipt"]["state"], answer.json["receipt"]["seq"]) == (state, 1)


def test_waiting_in_vain_is_202(bench, run):
    answer = bench.ask("POST", f"/runs/{run.run}/pause", headers={"Prefer": "foo, wait=1"})
    assert (answer.status_code, answer.json["state"]) == (202, "accepted")


@pytest.mark.parametrize("word", ["finished", "stopped", "failed", "superseded"])
def test_an_ended_run_takes_no_command(bench, run, word):
    run.say(status(word))
    for verb in ("pause", "resume", "stop", "checkpoint"):
        problem = bench.post(f"/runs/{run.run}/{verb}", expect=409)
        assert f"has ended: it is {word}" in problem["detail"]
    answer = bench.ask("PATCH", f"/runs/{run.run}/params", {"optimizer.lr": 1})
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/run-not-ready")


def test_what_is_asked_too_late_expires(bench, run):
    bench.post(f"/runs/{run.run}/pause", expect=202)
    bench.post(f"/runs/{run.run}/resume", expect=202)
    run.poll()
    run.say(status("finished"))
    commands = bench.get(f"/runs/{run.run}/commands")["commands"]
    assert [command["state"] for command in commands] == ["expired", "expired"]
    assert "it is finished" in commands[0]["receipt"]["reason"]


def test_before_the_first_word_of_the_trainer_built_in_parameters_can_be_set(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    assert bench.ask("PATCH", f"/runs/{run}/params", {"optimizer.lr": 1}).status_code == 202
    answer = bench.ask("PATCH", f"/runs/{run}/params", {"mixup": 0.1})
    assert answer.status_code == 409
    assert "has not told its own parameters yet" in answer.json["detail"]
    assert "optimizer.lr" in bench.get(f"/runs/{run}/params")["schema"]["properties"]


def test_a_stale_edit_is_refused(bench, run):
    path = f"/runs/{run.run}/params"
    first = bench.ask("GET", path)
    tag = first.headers["ETag"]
    assert tag == f'"{first.json["revision"]}"'
    edit = {"optimizer.lr": 0.5}
    assert bench.ask("PATCH", path, edit, headers={"If-Match": tag}).status_code == 202
    stale = bench.ask("PATCH", path, edit, headers={"If-Match": tag})
    assert (stale.status_code, stale.json["type"]) == (412, "/problems/stale-revision")
    assert (
        bench.ask("PATCH", path, edit, headers={"If-Match": stale.headers["ETag"]}).status_code
        == 202
    )
    assert bench.ask("PATCH", path, edit, headers={"If-Match": "*"}).status_code == 202


def test_a_run_that_has_not_begun_is_stopped_without_a_trainer(bench):
    run = bench.post("/runs", {"config": {}}, expect=201)["id"]
    bench.post(f"/runs/{run}/pause", expect=202)
    bench.post(f"/runs/{run}/stop", expect=202)
    bench.round()
    assert bench.launcher.started == []
    assert bench.get(f"/runs/{run}")["status"] == "stopped"
    pause, stop = bench.get(f"/runs/{run}/commands")["commands"]
    assert (pause["state"], stop["state"]) == ("expired", "applied")
