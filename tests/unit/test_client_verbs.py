"""Each operation of the API that is for people has a verb of the client."""

import contextlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_control import TOKEN, FakeControl, serving

from midcourse.client import Client, Refused

ROOT = Path(__file__).parents[2]
RUN = "rbcdfghjk"

VERBS: dict[str, Callable[[Client], Any]] = {
    "access.audit": lambda client: client.audit(),
    "access.download_audit": lambda client: list(client.download_audit()),
    "access.make_token": lambda client: client.make_token("ada", "viewer", expires_in_days=1),
    "access.revoke_token": lambda client: client.revoke_token("ada"),
    "access.tokens": lambda client: client.tokens(),
    "access.whoami": lambda client: client.whoami(),
    "act": lambda client: client.act("pause", {"experiment": "digits"}),
    "checkpoint": lambda client: client.checkpoint(RUN),
    "checkpoints": lambda client: client.checkpoints(RUN),
    "command": lambda client: client.command(RUN, 1),
    "commands": lambda client: client.commands(RUN),
    "delete": lambda client: client.delete(RUN, dry_run=True),
    "edit": lambda client: client.edit(RUN, name="new"),
    "events": lambda client: next(client.events()),
    "events of a run": lambda client: next(client.events(RUN)),
    "experiments": lambda client: client.experiments(),
    "fork": lambda client: client.fork(RUN, checkpoint="best"),
    "fork_from_wandb": lambda client: client.fork_from_wandb("lab/digits/r1@best"),
    "health": lambda client: client.health(),
    "journal": lambda client: list(client.journal(RUN)),
    "lineage": lambda client: client.lineage(RUN),
    "logs": lambda client: list(client.logs(RUN)),
    "metrics": lambda client: client.metrics(RUN, ["loss"], max_points=100),
    "params": lambda client: client.params(RUN),
    "pause": lambda client: client.pause(RUN),
    "publish_report": lambda client: client.publish_report("ada", wait=5),
    "readiness": lambda client: client.readiness(),
    "reinitialise": lambda client: client.reinitialise(RUN, ["classifier"]),
    "replay": lambda client: client.replay(RUN, name="again"),
    "report": lambda client: client.report("ada"),
    "resume": lambda client: client.resume(RUN, steps=5),
    "revert": lambda client: client.revert(RUN, "best"),
    "run": lambda client: client.run(RUN),
    "runs": lambda client: client.runs(status="running"),
    "set": lambda client: client.set(RUN, {"optimizer.lr": 0.1}),
    "slots": lambda client: client.slots(),
    "stop": lambda client: client.stop(RUN),
    "submit": lambda client: client.submit({}),
    "suspend": lambda client: client.suspend(RUN),
    "sweep": lambda client: client.sweep({}, grid={"seed": [1, 2]}),
    "sync": lambda client: client.sync(),
    "undo": lambda client: client.undo(RUN),
    "unsent": lambda client: client.unsent(),
    "withdraw": lambda client: client.withdraw(RUN, 1),
}

NOT_FOR_PEOPLE = {
    "GET /api/v1/openapi.json",  # a program's; a browser's page
    "GET /api/v1/docs",
    "GET /metrics",  # Prometheus asks it
}


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    yield from serving()


def operations() -> dict[str, dict[str, Any]]:
    """`GET /api/v1/runs/{}` and the like, without the trainer's link."""
    described = json.loads((ROOT / "docs" / "openapi.json").read_text())
    return {
        f"{method.upper()} {re.sub('{[^}]*}', '{}', path)}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "patch", "put", "delete") and "/link/" not in path
    }


def test_every_operation_for_people_has_a_verb(fake: FakeControl) -> None:
    client = Client(fake.url, TOKEN, retries=0)
    for verb in VERBS.values():
        with contextlib.suppress(Refused):
            verb(client)
    called = {
        f"{asked.method} {re.sub(rf'/({RUN}|ada|1)(?=/|$)', '/{}', asked.path)}"
        for asked in fake.asked
    }
    assert operations().keys() - NOT_FOR_PEOPLE - called == set()
    assert called - operations().keys() == set()


def test_the_queries_of_the_verbs_are_in_the_description(fake: FakeControl) -> None:
    """A name that the API does not know would be refused by it."""
    client = Client(fake.url, TOKEN, retries=0)
    asked_for = {"at": "step:5", "dry_run": True, "reason": "x"}
    calls: list[Callable[[], Any]] = [
        lambda: client.runs(
            status="running", experiment="e", tag="t", sweep="s", parent=RUN, prefix="r",
            archived="any", where="step>1", sort="-step", limit=5, cursor="c",
        ),
        lambda: client.metrics(RUN, ["a"], max_points=50, since_step=1, until_step=2),
        lambda: client.metrics(RUN, limit=5),
        lambda: list(client.logs(RUN, tail=5, follow=True)),
        lambda: list(client.logs(RUN, offset=5)),
        lambda: next(client.events(experiment="e", kinds=["command"], after=0)),
        lambda: next(client.events(RUN, kinds=["command"], after=0)),
        lambda: client.audit(actor="a", run=RUN, outcome="refused", limit=5, cursor=1),
        lambda: client.tokens(ended=True),
        lambda: client.lineage(RUN, flat=True),
        lambda: client.experiments(archived="any"),
        lambda: client.delete(RUN, dry_run=True),
        lambda: client.fork(RUN, reason="x"),
        lambda: client.preview_fork(RUN),
        lambda: client.withdraw(RUN, 1, reason="x"),
        lambda: client.set(RUN, {"a": 1}, **asked_for),
        lambda: client.undo(RUN, **asked_for),
        lambda: client.suspend(RUN, **asked_for),
    ]  # fmt: skip
    for call in calls:
        with contextlib.suppress(Refused):
            call()
    described = operations()
    for asked in fake.asked:
        address = re.sub(rf"/({RUN}|ada|1)(?=/|$)", "/{}", asked.path)
        known = {
            parameter["name"]
            for parameter in described[f"{asked.method} {address}"].get("parameters", [])
            if parameter["in"] == "query"
        }
        assert asked.query.keys() <= known, address


def test_every_verb_is_tried_here() -> None:
    """So that a new one is held to the description, too."""
    helpers = {"all_runs", "close", "find", "journal_lines", "preview_fork"}
    verbs = {
        name
        for name, member in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
    }
    tried = {name.split(" ")[0].rpartition(".")[2] for name in VERBS}
    assert verbs - helpers == tried


def test_bodies_are_what_the_contract_takes(fake: FakeControl) -> None:
    from midcourse.contract.api.branches import ForkFromWandb, ForkRun, ReplayRun, RevertRun
    from midcourse.contract.api.commands import ReinitialiseLayers, ResumeRun
    from midcourse.contract.api.runs import EditRun
    from midcourse.contract.api.submissions import SubmitRun
    from midcourse.contract.api.tokens import MakeToken

    client = Client(fake.url, TOKEN, retries=0)
    said = {"experiment": "e", "name": "n", "priority": 2, "tags": ("a",), "notes": "x"}
    said |= {"image": "lab/a:1", "command": ["python", "{params}"]}
    calls: list[tuple[type[Any], Callable[[], Any]]] = [
        (SubmitRun, lambda: client.submit({"seed": 1}, **said)),
        (SubmitRun, lambda: client.submit({})),
        (SubmitRun, lambda: client.sweep({}, grid={"seed": [1]}, **said)),
        (SubmitRun, lambda: client.sweep(configs=[{"seed": 1}])),
        (ForkRun, lambda: client.fork(RUN, checkpoint="best", changes={"a": 1}, config={"b": 2})),
        (ForkRun, lambda: client.fork(RUN)),
        (ForkFromWandb, lambda: client.fork_from_wandb("lab/digits/r1@best")),
        (
            ForkFromWandb,
            lambda: client.fork_from_wandb(
                "lab/digits/r1",
                changes={"a": 1},
                config={"b": 2},
                name="n",
                image="lab/a:1",
                command=("python", "{params}"),
            ),
        ),
        (RevertRun, lambda: client.revert(RUN, "best", changes={"a": 1})),
        (ReplayRun, lambda: client.replay(RUN, name="again")),
        (ResumeRun, lambda: client.resume(RUN, steps=5)),
        (ReinitialiseLayers, lambda: client.reinitialise(RUN, ["a.*"])),
        (EditRun, lambda: client.edit(RUN, name=None, tags=["a"], archived=True, priority=-1)),
        (MakeToken, lambda: client.make_token("ada", "viewer", expires_in_days=2)),
    ]
    for model, call in calls:
        with contextlib.suppress(Refused):
            call()
        model.model_validate(fake.asked[-1].body or {})
