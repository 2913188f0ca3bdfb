"""`up`: which training goes on, and what of it is shown."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_control import TOKEN, FakeControl, Said, command, run, runs, serving
from rich.console import Console

from control_api.settings import Settings
from control_api.up.__main__ import read_config, unfinished
from control_api.up.client import Client
from control_api.up.watch import watch
from control_api.up.words import tracking_line
from midcourse.contract.errors import InvalidInput
from midcourse.contract.runs import ENDED, RunStatus

CONFIG = {"experiment": "digits", "optimizer": {"lr": 0.05}}


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    yield from serving()


@pytest.fixture
def client(fake: FakeControl) -> Client:
    return Client(fake.url, TOKEN)


def test_the_newest_training_of_this_very_configuration_goes_on(
    fake: FakeControl, client: Client
) -> None:
    other = {**CONFIG, "seed": 1}
    newest, older = run("r33333333", config=CONFIG), run("r22222222", config=CONFIG)
    fork = run("r66666666", config=CONFIG, origin={"run": "r33333333", "revert": False})
    replay = run("r55555555", config=CONFIG, replay="r33333333")
    fake.on("GET", "/runs", runs(fork, replay, run("r44444444", config=other), newest, older))
    assert unfinished(client, CONFIG) == newest
    [asked] = fake.asked
    assert asked.query["sort"] == "-created_at"
    statuses = set(asked.query["status"].split(","))
    assert statuses == set(RunStatus) - ENDED


def test_another_does_not(fake: FakeControl, client: Client) -> None:
    fake.on("GET", "/runs", runs(run(config={**CONFIG, "seed": 1})))
    assert unfinished(client, CONFIG) is None


def test_what_took_its_place_does_and_so_does_one_without_an_experiment(
    fake: FakeControl, client: Client
) -> None:
    undone = run(config={"experiment": "default"}, origin={"run": "r22222222", "revert": True})
    fake.on("GET", "/runs", runs(undone))
    assert unfinished(client, {}) == undone


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory. CONFIG names it"),
        (b"\xff\xfe", "cannot be read: "),
        (b"{", "cannot be read: "),
        (b"[]", "must hold an object"),
    ],
)
def test_what_is_no_configuration_is_named_in_a_sentence(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "params.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {why}")


@pytest.mark.parametrize("kind", ["revert", "undo"])
def test_it_follows_the_run_to_what_took_its_place(
    fake: FakeControl, client: Client, kind: str
) -> None:
    first, child = "r22222222", "r33333333"
    tracking = {"mode": "online", "url": "https://wandb.example/r3", "folder": None}
    tracking |= {"state": "finished", "error": None}
    fake.on("GET", f"/runs/{first}", Said(run(first, status="superseded")))
    went = command(action={"kind": kind, "child": child})
    fake.on("GET", f"/runs/{first}/commands", Said({"commands": [went]}))
    fake.on("GET", f"/runs/{child}", Said(run(child, status="finished", tracking=tracking)))
    fake.on("GET", f"/runs/{child}/commands", Said({"commands": []}))
    shown = io.StringIO()
    ended = watch(client, first, Console(file=shown, width=200), Settings.read({}))
    assert ended["id"] == child
    lines = shown.getvalue().splitlines()
    assert lines.count("W&B: https://wandb.example/r3") == 1
    assert any(line.startswith(f"step 41: {kind} applied by admin") for line in lines)


OFFLINE = {"mode": "offline", "url": None, "folder": "/f", "state": "finished", "error": None}
ONLINE = {**OFFLINE, "mode": "online", "url": "https://wandb.example/r", "folder": None}


@pytest.mark.parametrize(
    ("tracking", "environ", "told"),
    [
        (None, {}, "nothing was logged"),
        (ONLINE, {}, "https://wandb.example/r"),
        (OFFLINE, {}, "offline; send it with: .*midcourse.* sync r2345678x"),
        (
            {**OFFLINE, "error": "no server"},
            {"MIDCOURSE_HOME": "/some where"},
            "offline [(]no server[)]; send it with: .* sync --home='/some where' r2345678x",
        ),
        (
            {**ONLINE, "state": "behind"},
            {"MIDCOURSE_IN_CONTAINER": "yes"},
            "https://wandb.example/r lacks a part; send it with: "
            "docker exec -it -e WANDB_API_KEY .* midcourse sync r2345678x",
        ),
        ({**OFFLINE, "mode": "disabled", "folder": None}, {}, "disabled"),
    ],
)
def test_where_a_run_is_shown_is_told_with_how_to_send_the_rest(
    tracking: dict[str, object] | None, environ: dict[str, str], told: str
) -> None:
    seen = run("r2345678x", tracking=tracking)
    assert re.fullmatch(told, tracking_line(seen, Settings.read(environ)))
