"""What each role may ask for: every address against a table that people wrote."""

import re

import pytest
from control_bench import Bench

from control_api import door
from control_api.app import create_app
from control_api.roles import needed_by
from control_api.settings import Settings
from midcourse.contract.roles import Role

TABLE = """
open      GET    /healthz
open      GET    /readyz
viewer    GET    /metrics
open      GET    /api/v1/openapi.json
open      GET    /api/v1/docs
open      GET    /api/v1/docs/<file>
viewer    GET    /api/v1/whoami
viewer    GET    /api/v1/events
viewer    GET    /api/v1/experiments
viewer    GET    /api/v1/experiments/<name>/report
viewer    GET    /api/v1/slots
viewer    GET    /api/v1/sync
viewer    GET    /api/v1/runs
viewer    GET    /api/v1/runs/<run_id>
viewer    GET    /api/v1/runs/<run_id>/checkpoints
viewer    GET    /api/v1/runs/<run_id>/commands
viewer    GET    /api/v1/runs/<run_id>/commands/<int(signed=True):seq>
viewer    GET    /api/v1/runs/<run_id>/events
viewer    GET    /api/v1/runs/<run_id>/journal
viewer    GET    /api/v1/runs/<run_id>/lineage
viewer    GET    /api/v1/runs/<run_id>/logs
viewer    GET    /api/v1/runs/<run_id>/metrics
viewer    GET    /api/v1/runs/<run_id>/params
operator  POST   /api/v1/experiments/<name>/report
operator  DELETE /api/v1/runs/<run_id>/commands/<int(signed=True):seq>
operator  PATCH  /api/v1/runs/<run_id>
operator  PATCH  /api/v1/runs/<run_id>/params
operator  POST   /api/v1/runs/<run_id>/checkpoint
operator  POST   /api/v1/runs/<run_id>/fork
operator  POST   /api/v1/runs/<run_id>/pause
operator  POST   /api/v1/runs/<run_id>/reinitialise
operator  POST   /api/v1/runs/<run_id>/replay
operator  POST   /api/v1/runs/<run_id>/resume
operator  POST   /api/v1/runs/<run_id>/revert
operator  POST   /api/v1/runs/<run_id>/stop
operator  POST   /api/v1/runs/<run_id>/suspend
operator  POST   /api/v1/runs/<run_id>/undo
operator  POST   /api/v1/runs/actions
operator  POST   /api/v1/sync
admin     DELETE /api/v1/runs/<run_id>
admin     DELETE /api/v1/tokens/<name>
admin     GET    /api/v1/audit
admin     GET    /api/v1/audit/download
admin     GET    /api/v1/tokens
admin     POST   /api/v1/forks
admin     POST   /api/v1/runs
admin     POST   /api/v1/tokens
trainer   GET    /api/v1/runs/<run_id>/link/commands
trainer   POST   /api/v1/runs/<run_id>/link/report
"""

ROLES = {
    (method, address): role
    for role, method, address in (line.split() for line in TABLE.strip().splitlines())
}


def routes(app):
    return {
        (method, rule.rule): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


TRAINERS = {(method, door.RULE + name): "trainer" for name, method in door.METHODS.items()}


def test_every_address_is_in_the_table_and_says_what_the_table_says(tmp_path):
    app = create_app(Settings(home=tmp_path))
    declared = {
        route: getattr(needed_by(app, endpoint), "value", None)
        for route, endpoint in routes(app).items()
    }
    assert declared | TRAINERS == ROLES


def test_a_view_that_says_nothing_needs_an_admin(tmp_path):
    bench = Bench(tmp_path)
    bench.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    operator = bench.post("/tokens", {"name": "o", "role": "operator"}, expect=201)["token"]
    answers = {
        token: bench.client.get("/forgotten", headers={"Authorization": f"Bearer {token}"})
        for token in (operator, bench.token)
    }
    assert [answer.status_code for answer in answers.values()] == [403, 200]
    bench.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A bench that outlives the test, with a token of each kind."""
    bench = Bench(tmp_path_factory.mktemp("home"), database_url="")
    run = bench.submit()
    run.say(run.started())
    other = bench.submit()
    tokens = {"stranger": "mc_nobody", "trainer": run.token, "another trainer": other.token}
    for role in Role:
        body = {"name": f"the-{role}", "role": role.value}
        tokens[str(role)] = bench.post("/tokens", body, expect=201)["token"]
    yield bench, run.run, tokens
    bench.close()


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("who", ["stranger", "trainer", "another trainer", *Role])
def test_everybody_gets_what_the_table_says_and_nothing_else(served, who):
    bench, run, tokens = served
    for (method, address), role in ROLES.items():
        if (method, address) not in routes(bench.app).keys() | TRAINERS.keys():
            continue  # the other test says so
        path = address.replace("<run_id>", run)
        path = re.sub("<int.*?>", "1", path).replace("<file>", "x").replace("<name>", "nobody")
        headers = {"Authorization": f"Bearer {tokens[who]}"}
        # A query that no view knows: it comes to the view, or it does not, and does nothing there.
        answer = bench.client.open(f"{path}?walk=1", method=method, headers=headers)
        may_come = role == "open" or (
            who == role if role == "trainer" else who in list(Role) and Role(who).includes(role)
        )
        told = f"{who}: {method} {address}: {answer.status_code}"
        if may_come:
            assert answer.status_code not in (401, 403, 429), told
        elif who == "stranger":
            assert answer.status_code in (401, 429), told
        else:
            assert answer.status_code == 403, told
            assert answer.json["type"] == "/problems/forbidden"
            if who in list(Role) and role != "trainer":
                assert f"needs the role {role};" in answer.json["detail"]


@pytest.mark.only_on("sqlite")
def test_an_address_that_leads_nowhere_tells_strangers_nothing(served):
    bench, _, tokens = served
    codes = {
        who: bench.client.get(
            "/api/v1/nowhere", headers={"Authorization": f"Bearer {tokens[who]}"}
        ).status_code
        for who in ("stranger", "trainer", "viewer")
    }
    assert codes["stranger"] in (401, 429)
    assert (codes["trainer"], codes["viewer"]) == (403, 404)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("dry_run", ["false", "true"])
def test_many_at_once_are_deleted_by_admins_alone(served, dry_run):
    bench, _, tokens = served
    codes = {}
    for who in Role:
        answer = bench.client.post(
            f"/api/v1/runs/actions?dry_run={dry_run}",
            headers={"Authorization": f"Bearer {tokens[who]}"},
            json={"filter": {"status": "failed"}, "action": "delete"},
        )
        codes[who] = answer.status_code
    assert codes == {Role.VIEWER: 403, Role.OPERATOR: 403, Role.ADMIN: 200}
