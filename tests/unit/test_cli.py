"""The command line: what it shows, what it says when something is wrong, and its exit codes."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from fake_control import Asked, FakeControl, Said, command, problem, receipt, run, runs, serving

from midcourse.cli.checks import Verdict, source
from midcourse.cli.doctor import control_api
from midcourse.cli.entry import EPILOGUE, main
from midcourse.cli.entry import cli as root
from midcourse.cli.failing import NOT_ALLOWED, NOT_YET, REFUSED, UNREACHABLE, USAGE
from midcourse.cli.table import COMMANDS
from midcourse.contract.api import examples
from midcourse.contract.api.sync import SyncView
from midcourse.version import __version__

ROOT = Path(__file__).parents[2]
RUN = "rbcdfghjk"
IDENTITY = ("-c", "user.name=ada", "-c", "user.email=ada@lab.example")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    yield from serving()


@pytest.fixture
def cli(
    fake: FakeControl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Run `midcourse` with a token; exit code, output, errors."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MIDCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIDCOURSE_API_URL", fake.url)
    monkeypatch.setenv("MIDCOURSE_API_TOKEN", "mc_test")
    monkeypatch.setattr("midcourse.client.transport.FIRST_PAUSE", 0.0)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def cli(*arguments: str) -> tuple[int, str]:
        return main(arguments), capsys.readouterr().out

    code, told = cli(name, "--help")
    assert code == 0
    assert told.startswith(f"Usage: midcourse {name}")
    assert re.search(r"\n\n  [A-Z][^\n]{20,}", told), "it says what it does"
    if name == "tokens":
        told = cli(name, "make", "--help")[1] + cli(name, "list", "--help")[1]
        told += cli(name, "revoke", "--help")[1]
        assert told.count("--json") == 3
    else:
        assert ("--json" in told) == (name != "up"), "`up` becomes the server and its terminal"


def test_help_and_completion_load_no_command() -> None:
    program = (
        "import sys; from midcourse.cli import main; code = main(['--help']); "
        "print('LOADED', {'torch', 'wandb', 'pydantic', 'requests', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED set()"


def test_runs_in_a_pipe_are_a_plain_table(cli: Cli, fake: FakeControl) -> None:
    name = "a name that is rather long and is not cut off, whatever the width of the terminal"
    fake.on("GET", "/runs", runs(run(name=name), run("r22222222", status="paused", step=None)))
    code, told, _ = cli("runs", "--status", "running,paused", "--sort", "-metrics.test/accuracy")
    lines = told.splitlines()
    assert code == 0
    assert lines[0].split() == [
        "ID",
        "NAME",
        "EXPERIMENT",
        "STATUS",
        "STEP",
        "LOSS",
        "ACCURACY",
        "LEFT",
        "AGE",
    ]
    assert name in lines[1]
    assert "41/100  0.25  0.75      2s" in lines[1]
    assert "paused" in lines[2]
    assert fake.asked[0].query == {
        "status": "running,paused",
        "sort": "-metrics.test/accuracy",
        "limit": "50",
    }


def test_the_control_api_is_asked_to_send_what_is_left(cli: Cli, fake: FakeControl) -> None:
    example = SyncView.model_config["json_schema_extra"]["examples"][0]
    late = example["runs"][0] | {"run": "rlate", "state": "given_up", "tries": 24, "left": None}
    told = example | {"runs": [example["runs"][0], late], "count": 2}
    fake.on("POST", "/sync", Said(told))
    fake.on("GET", "/sync", Said(told | {"notice": "MIDCOURSE_SYNC is off."}))
    code, out, err = cli("sync", "--server")
    assert (code, err) == (0, "2 runs are not all in W&B: 71.3 kB of log.\n")
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][1:5] == ["sending", "1204", "71.3", "kB"]
    assert lines[2][:5] == ["rlate", "given", "up", "71.3", "kB"]
    code, out, err = cli("sync", "--server", "--dry-run")
    assert err.endswith("MIDCOURSE_SYNC is off.\n")
    assert [asked.method for asked in fake.asked] == ["POST", "GET"]
    code, _, err = cli("sync", "--server", "rabc")
    assert (code, "takes no RUN" in err) == (2, True)


def test_columns_are_chosen(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", "/runs", runs(run(tags=["a", "b"])))
    columns = "id,config.optimizer.lr,values.optimizer.lr,metrics.none,tags"
    _, told, _ = cli("runs", "--columns", columns)
    assert told.splitlines()[1].split() == [RUN, "0.05", "0.05", "a,b"]
    code, _, told = cli("runs", "--columns", "colour")
    assert (code, "There is no column 'colour': id, name" in told) == (2, True)


def test_a_page_says_that_there_is_more(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", "/runs", runs(run(), next_cursor="c2"))
    _, _, told = cli("runs")
    assert "--cursor c2 goes on" in told


def test_json_is_the_contracts_model(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", "/runs", runs(run()))
    fake.on("GET", f"/runs/{RUN}", Said(run()))
    for order in (("--json", "runs"), ("runs", "--json")):
        assert json.loads(cli(*order)[1])["runs"][0]["id"] == RUN
    assert json.loads(cli("show", RUN, "--json")[1]) == run()


@pytest.mark.parametrize("verb", ["pause", "resume", "suspend", "stop", "undo", "checkpoint"])
def test_a_verb_waits_for_its_receipt(cli: Cli, fake: FakeControl, verb: str) -> None:
    fake.on("POST", f"/runs/{RUN}/{verb}", Said(command(action={"kind": "pause"})))
    code, told, _ = cli(verb, RUN, "--reason", "lunch")
    assert (code, told) == (0, f"{RUN} 1: pause applied at step 41 (status running → paused)\n")
    [asked] = fake.asked
    assert asked.headers["prefer"] == "wait=10"
    assert asked.query == {"reason": "lunch"}


def test_what_is_for_later_is_not_waited_for(cli: Cli, fake: FakeControl) -> None:
    later = command("accepted", at={"step": 500, "epoch": None})
    fake.on("POST", f"/runs/{RUN}/pause", Said(later, 202))
    code, told, _ = cli("pause", RUN, "--at-step", "500")
    assert (code, told) == (0, f"{RUN} 1: pause accepted, to act at step 500\n")
    assert "prefer" not in fake.asked[0].headers
    assert cli("pause", RUN, "--at-step", "500", "--wait", "--timeout", "3")[0] == 5
    assert fake.asked[1].headers["prefer"] == "wait=3"
    code, _, told = cli("pause", RUN, "--at-step", "1", "--at-epoch", "2")
    assert (code, "--at-step or --at-epoch, not both" in told) == (2, True)


def test_no_wait_is_done_when_it_is_accepted(cli: Cli, fake: FakeControl) -> None:
    fake.on("POST", f"/runs/{RUN}/pause", Said(command("accepted"), 202))
    assert cli("pause", RUN, "--no-wait")[0] == 0
    code, _, told = cli("pause", RUN)
    assert code == 5
    assert told.startswith("midcourse: accepted, and not known to have acted within 10 seconds")
    assert len(told.splitlines()) == 1


def test_what_came_to_nothing(cli: Cli, fake: FakeControl) -> None:
    detail = "It was not acceptable when its turn came; nothing changed: the run is paused already"
    said = problem(
        409, "/problems/command-not-applied", detail, receipt=receipt("rejected", reason="paused")
    )
    fake.on("POST", f"/runs/{RUN}/pause", said)
    assert cli("pause", RUN) == (1, "", f"midcourse: {detail}\n")
    code, _, told = cli("pause", RUN, "--json")
    found = json.loads(told)
    assert (code, found["exit_code"], found["receipt"]["state"]) == (1, 1, "rejected")


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (problem(404, "/problems/unknown-run", "There is no run 'x'."), 1, "There is no run 'x'."),
        (problem(401, "/problems/unauthenticated", "No."), 4, "`midcourse login` takes another"),
        (problem(403, "/problems/forbidden", "A viewer may not."), 4, "A viewer may not."),
        (problem(503, "/problems/database-away", "Away."), 1, "Away. (status 503)"),
        (Said(b"<html>"), 3, "does not answer in JSON"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    cli: Cli, fake: FakeControl, said: Said, code: int, told: str
) -> None:
    fake.on("GET", f"/runs/{RUN}", said)
    found, out, error = cli("show", RUN)
    assert (found, out) == (code, "")
    assert error.startswith("midcourse: ")
    assert told in error
    assert len(error.splitlines()) == 1


def test_nobody_there(cli: Cli, fake: FakeControl) -> None:
    fake.close()
    code, _, told = cli("runs")
    assert (code, "is the control API running there?" in told) == (3, True)


def test_no_token(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDCOURSE_API_TOKEN")
    code, _, told = cli("runs")
    assert (code, "run `midcourse login http" in told) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["paus", RUN], "There is no command 'paus'. Did you mean pause"),
        (["pause"], "Missing argument 'RUN'. See `midcourse pause --help`."),
        (["pause", RUN, "--soon"], "No such option"),
        (["set", RUN, "lr"], "'lr' must be name=value"),
        (["revert", RUN], f"Say where to: {RUN}@best"),
        (["rename", RUN], "Give a name, or --clear."),
        (["--url", "nowhere", "runs"], "url: must be such as http://127.0.0.1:8080"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str], told: str) -> None:
    code, _, error = cli(*arguments)
    assert (code, len(error.splitlines())) == (2, 1)
    assert told in error


def test_a_fault_of_our_own_is_one_line_too(
    cli: Cli, fake: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("midcourse.client.Client.run", broken)
    code, _, told = cli("show", RUN)
    assert (code, told) == (
        1,
        "midcourse: a fault of midcourse itself: ZeroDivisionError: oh (--debug shows where)\n",
    )
    assert "Traceback" in cli("show", RUN, "--debug")[2]


def test_an_ambiguous_run_lists_the_candidates(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", "/runs", runs(run("rb2222222", name="first"), run("rb3333333")))
    code, _, told = cli("pause", "rb")
    assert (code, "may be any of rb2222222 (first), rb3333333" in told) == (2, True)
    assert json.loads(cli("pause", "rb", "--json")[2])["candidates"] == ["rb2222222", "rb3333333"]


SCHEMA = {
    "properties": {
        "optimizer.lr": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"properties": {"value": {}, "mode": {"enum": ["rebase", "scale"]}}},
            ]
        },
        "model.dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    }
}


@pytest.fixture
def steerable(fake: FakeControl) -> FakeControl:
    answer = {"run": RUN, "revision": 3, "values": {"optimizer.lr": 0.05}, "schema": SCHEMA}
    fake.on("GET", f"/runs/{RUN}/params", Said(answer))
    fake.on("PATCH", f"/runs/{RUN}/params", Said(command()))
    return fake


def test_set_sends_numbers_as_numbers(cli: Cli, steerable: FakeControl) -> None:
    assert cli("set", RUN, "optimizer.lr=1e-4", "optimizer.name=adamw")[0] == 0
    assert steerable.asked[-1].body == {"optimizer.lr": 0.0001, "optimizer.name": "adamw"}


def test_a_mode_goes_to_what_takes_one(cli: Cli, steerable: FakeControl) -> None:
    assert cli("set", RUN, "optimizer.lr=0.5", "model.dropout=0.1", "--mode", "scale")[0] == 0
    changed = steerable.asked[-1].body
    assert changed == {"optimizer.lr": {"value": 0.5, "mode": "scale"}, "model.dropout": 0.1}
    code, _, told = cli("set", RUN, "model.dropout=0.1", "--mode", "scale")
    assert (code, "model.dropout: nothing here takes mode." in told) == (2, True)
    code, _, told = cli("set", RUN, "optimizer.lr=0.1", "--way", "state=carry")
    assert (code, "nothing here takes state; there is: mode." in told) == (2, True)


def test_params_say_what_is_allowed(cli: Cli, steerable: FakeControl) -> None:
    _, told, _ = cli("params", RUN)
    assert told.splitlines()[1:] == [
        "optimizer.lr   0.05   number above 0; mode rebase | scale",
        "model.dropout         number at least 0 and below 1",
    ]


def test_fork_takes_a_checkpoint_after_an_at(cli: Cli, fake: FakeControl) -> None:
    origin = {
        "run": RUN,
        "checkpoint": "step-500",
        "changes": {"optimizer.lr": 0.01},
        "warm_start": False,
        "actor": "admin",
        "revert": False,
    }
    fake.on("POST", f"/runs/{RUN}/fork", Said(run("r22222222", origin=origin), 201))
    given = ("--set", "optimizer.lr=0.01", "--config", "model.hidden=64", "--name", "x")
    code, told, _ = cli("fork", f"{RUN}@step-500", *given, "--wait")
    assert (code, told) == (0, f"r22222222 running from {RUN}@step-500 optimizer.lr=0.01\n")
    assert fake.asked[0].body == {
        "checkpoint": "step-500",
        "changes": {"optimizer.lr": 0.01},
        "config": {"model": {"hidden": 64}},
        "name": "x",
    }
    assert fake.asked[0].headers["prefer"] == "wait=60"


def test_what_has_a_slash_is_forked_from_wandb(cli: Cli, fake: FakeControl) -> None:
    source = f"lab/digits/{RUN}@best"
    origin = {
        "run": RUN,
        "checkpoint": None,
        "changes": {"optimizer.lr": 0.01},
        "warm_start": False,
        "actor": "admin",
        "revert": False,
    }
    made = run("r22222222", status="queued", origin=origin, source=source)
    fake.on("POST", "/forks", Said(made, 202))
    given = ("--set", "optimizer.lr=0.01", "--config", "model.hidden=64", "--name", "x")
    more = ("--image", "lab/model:2", "--command", "python 'my net.py' {params}")
    code, told, _ = cli("fork", source, *given, *more)
    assert (code, told) == (0, f"r22222222 queued from {source} optimizer.lr=0.01\n")
    assert [(asked.method, asked.path, asked.body) for asked in fake.asked] == [
        (
            "POST",
            "/api/v1/forks",
            {
                "source": source,
                "changes": {"optimizer.lr": 0.01},
                "config": {"model": {"hidden": 64}},
                "name": "x",
                "image": "lab/model:2",
                "command": ["python", "my net.py", "{params}"],
            },
        )
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("lab/digits/r1", "--dry-run"), "--dry-run is for forks of runs that are here"),
        (("lab/digits/r1", "--reason", "why"), "--reason is for forks of runs that are here"),
        ((RUN, "--image", "lab/a"), "--image is for forks of W&B"),
        ((RUN, "--command", "a 'b"), "No closing quotation"),
    ],
)
def test_options_of_the_other_kind_of_fork_are_refused(
    cli: Cli, fake: FakeControl, given: tuple[str, ...], said: str
) -> None:
    code, _, complaint = cli("fork", *given)
    assert code == 2
    assert said in complaint
    assert fake.asked == []


DELETION = {
    "run": RUN, "dry_run": True, "deleted_at": None, "checkpoints_gone": ["step-5"],
    "checkpoints_kept": [{"name": "step-7", "needed_by": ["r22222222"]}], "checkpoints_freed": [],
    "files": [{"path": "runlog.jsonl", "bytes": 900}], "bytes_freed": 1_500_000, "metrics": 12,
    "media": 3, "children": ["r22222222"],
}  # fmt: skip


def test_delete_names_what_goes_and_asks(
    cli: Cli, fake: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.on("DELETE", f"/runs/{RUN}", Said(DELETION))
    monkeypatch.setattr("click.confirm", lambda *_, **__: pytest.fail("it asked"))
    assert cli("delete", RUN, "--dry-run")[0] == 0
    assert cli("delete", RUN, "--yes")[0] == 0
    assert [asked.query for asked in fake.asked] == [{"dry_run": "true"}, {}]
    monkeypatch.undo()


def test_delete_without_a_yes_deletes_nothing(fake: FakeControl, tmp_path: Path) -> None:
    fake.on("DELETE", f"/runs/{RUN}", Said(DELETION))
    done = subprocess.run(
        [sys.executable, "-m", "midcourse.cli", "delete", RUN],
        env={"MIDCOURSE_API_URL": fake.url, "MIDCOURSE_API_TOKEN": "mc_test", "HOME": "/"},
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    for told in ("1.5 MB would go", "step-7: r22222222 came from it", "12 metrics, 3 pictures"):
        assert told in done.stdout
    assert [asked.query for asked in fake.asked] == [{"dry_run": "true"}]


def test_tags_are_added_and_taken_away(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(run(tags=["old", "both"])))
    fake.on("PATCH", f"/runs/{RUN}", lambda asked: Said(run(**asked.body)))
    assert cli("tag", RUN, "new", "both")[1] == f"{RUN}: old, new, both\n"
    assert cli("tag", RUN, "old", "--remove")[1] == f"{RUN}: both\n"


def test_notes_are_appended(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(run(notes="first\n")))
    fake.on("PATCH", f"/runs/{RUN}", lambda asked: Said(run(**asked.body)))
    assert cli("note", RUN)[1] == f"{RUN}: first\n\n"
    cli("note", RUN, "second", "--append")
    assert fake.asked[-1].body == {"notes": "first\nsecond"}
    cli("note", RUN, "--clear")
    assert fake.asked[-1].body == {"notes": None}


def test_diff_shows_what_is_not_the_same(cli: Cli, fake: FakeControl) -> None:
    other = run(
        "r22222222", config={"optimizer": {"lr": 0.1}, "seed": 1}, metrics={"test/accuracy": 0.8}
    )
    fake.on("GET", f"/runs/{RUN}", Said(run()))
    fake.on("GET", "/runs/r22222222", Said(other))
    _, told, _ = cli("diff", RUN, "r22222222")
    rows = [line.split() for line in told.splitlines()]
    assert ["config.optimizer.lr", "0.05", "0.1", "+0.05"] in rows
    assert ["config.seed", "-", "1"] in rows
    assert ["metrics.test/accuracy", "0.75", "0.8", "+0.05"] in rows
    found = json.loads(cli("diff", RUN, "r22222222", "--json")[1])
    assert found["config"] == {"optimizer.lr": [0.05, 0.1], "seed": [None, 1]}
    assert cli("diff", RUN, RUN)[1] == f"{RUN} and {RUN} do not differ.\n"


def test_a_token_is_tried_and_kept(
    cli: Cli, fake: FakeControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDCOURSE_API_TOKEN")
    who = {"name": "ada", "role": "operator", "expires_at": None}
    fake.on("GET", "/whoami", problem(401, "/problems/unauthenticated", "No."), Said(who))
    (tmp_path / "token").write_text("mc_ada\n")
    login = ("login", fake.url, "--token-file", str(tmp_path / "token"))
    assert cli(*login)[0] == 4
    assert cli("whoami")[0] == 4
    code, told, _ = cli(*login)
    assert (code, "You are ada, operator" in told) == (0, True)
    assert fake.asked[-1].headers["authorization"] == "Bearer mc_ada"
    assert "mc_ada" not in told
    assert cli("whoami")[1].startswith("name        ada\nrole        operator\n")
    assert cli("profiles")[1].split() == ["URL", "*", fake.url]
    assert cli("logout")[0] == 0
    assert cli("whoami")[0] == 4


REPORT = {
    "experiment": "tour",
    "state": "published",
    "links": [{"title": "Midcourse: tour", "url": "https://w.example/us/p?nw=1"}],
    "notes": ["not in W&B's project yet: r1"],
    "error": None,
    "asked_by": "ada",
    "asked_at": "2026-11-22T12:00:00Z",
    "ended_at": "2026-11-22T12:00:09Z",
}


def test_pages_are_published_and_their_links_printed(cli: Cli, fake: FakeControl) -> None:
    fake.on("POST", "/experiments/tour/report", Said(REPORT))
    code, out, err = cli("report", "tour")
    assert (code, out) == (0, "Midcourse: tour: https://w.example/us/p?nw=1\n")
    assert err == "not in W&B's project yet: r1\n"
    under_way = {**REPORT, "state": "publishing", "ended_at": None, "notes": []}
    fake.on("POST", "/experiments/tour/report", Said(under_way, 202))
    assert "`midcourse report tour --show`" in cli("report", "tour", "--no-wait")[2]
    failed = {**REPORT, "state": "failed", "error": "W&B refuses the key", "notes": []}
    fake.on("GET", "/experiments/tour/report", Said(failed))
    assert cli("report", "tour", "--show")[2] == "Not published: W&B refuses the key\n"
    assert [each.method for each in fake.asked] == ["POST", "POST", "GET"]


def test_completion_knows_commands_runs_checkpoints_and_parameters(
    cli: Cli, steerable: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    steerable.on("GET", "/runs", runs(run(name="first")))
    found = [{**examples.CHECKPOINT, "name": name} for name in ("initial", "step-5")]
    steerable.on("GET", f"/runs/{RUN}/checkpoints", Said({"checkpoints": found}))
    monkeypatch.setenv("_MIDCOURSE_COMPLETE", "bash_complete")

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(["midcourse", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return [line.partition(",")[2] for line in cli()[1].split()]

    assert complete("re") == ["replay", "report", "resume", "revert", "reinitialise", "rename"]
    assert complete("pause", "rb") == [RUN]
    assert complete("fork", f"{RUN}@") == [
        f"{RUN}@{word}" for word in ("now", "latest", "best", "step-5", "initial")
    ]
    assert complete("set", RUN, "opt") == ["optimizer.lr="]
    steerable.close()
    assert complete("pause", "rb") == []


def test_a_token_is_made_for_a_time(cli: Cli, fake: FakeControl) -> None:
    fake.on("POST", "/tokens", Said({**examples.TOKEN, "token": "mc_new"}, 201))
    code, out, error = cli("tokens", "make", "olga", "--role", "operator", "--expires", "12h")
    assert (code, out) == (0, "mc_new\n")
    assert "told this once" in error
    assert fake.asked[0].body == {"name": "olga", "role": "operator", "expires_in_days": 0.5}
    code, _, told = cli("tokens", "make", "olga", "--role", "operator", "--expires", "soon")
    assert (code, "must be a time such as 30d" in told) == (2, True)


def test_a_grid_is_one_request(cli: Cli, fake: FakeControl, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"seed": 3}')
    sweep = {"sweep": "s1", "runs": [run(config={"optimizer": {"lr": 0.1}})]}
    fake.on("POST", "/runs", Said(sweep, 201))
    given = ("--set", "model.name=mlp", "--grid", "optimizer.lr=0.1,0.01", "--priority", "0")
    code, told, _ = cli("submit", str(tmp_path / "p.json"), *given)
    assert (code, told.splitlines()[0]) == (0, "sweep s1: 1 runs")
    assert fake.asked[0].body == {
        "config": {"seed": 3, "model": {"name": "mlp"}},
        "grid": {"optimizer.lr": [0.1, 0.01]},
        "priority": 0,
    }


def test_a_run_may_bring_an_image_and_a_command(
    cli: Cli, fake: FakeControl, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text("{}")
    fake.on("POST", "/runs", Said(run(), 201))
    given = ("--image", "lab/a:1", "--command", "python 'my own.py' {params}")
    assert cli("submit", str(tmp_path / "p.json"), *given)[0] == 0
    assert fake.asked[0].body == {
        "config": {},
        "image": "lab/a:1",
        "command": ["python", "my own.py", "{params}"],
    }
    code, _, error = cli("submit", str(tmp_path / "p.json"), "--command", "python 'my.py")
    assert (code, "No closing quotation: python 'my.py" in error) == (2, True)


def test_a_run_that_is_waited_for(cli: Cli, fake: FakeControl, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{}")
    queued = run(status="queued", waits_for="All slots are taken.")
    fake.on("POST", "/runs", Said(queued, 201))
    code, told, error = cli("submit", str(tmp_path / "p.json"), "--wait")
    assert (code, told) == (5, f"{RUN} queued\n")
    assert "is queued still, after 60 seconds. All slots are taken." in error
    assert cli("submit", str(tmp_path / "p.json"))[0] == 0
    fake.on("GET", f"/runs/{RUN}", Said(run(status="failed", error="no such data set")))
    code, _, error = cli("submit", str(tmp_path / "p.json"), "--timeout", "90")
    assert (code, error) == (1, "midcourse: no such data set\n")


def test_a_bulk_action_tells_each_run(cli: Cli, fake: FakeControl) -> None:
    refusal = {"type": "/problems/run-not-ready", "title": "No", "status": 409, "detail": "Ended."}
    results = [
        {"run": RUN, "status": 200, "command": command(), "problem": None},
        {"run": "r22222222", "status": 409, "command": None, "problem": refusal},
    ]
    fake.on("POST", "/runs/actions", Said({"results": results}))
    code, told, _ = cli("bulk", "pause", "--experiment", "digits", "--yes")
    assert code == 1
    assert told.splitlines()[1:] == [
        f"{RUN}  200     applied status running → paused",
        "r22222222  409     Ended.",
    ]
    assert fake.asked[0].body == {"filter": {"experiment": "digits"}, "action": "pause"}
    waits = {"run": RUN, "status": 202, "command": command("delivered"), "problem": None}
    fake.on("POST", "/runs/actions", Said({"results": [waits]}))
    assert cli("bulk", "pause", "--yes")[0] == 5
    assert cli("bulk", "pause", "--yes", "--no-wait")[0] == 0
    code, _, told = cli("bulk", "pause", "x=1", "--yes")
    assert (code, "pause takes nothing more" in told) == (2, True)


def test_a_tree_is_drawn(cli: Cli, fake: FakeControl) -> None:
    facts = {"experiment": "e", "created_at": "2026-01-02T03:04:05Z", "deleted_at": None}
    point = {"run": RUN, "checkpoint": "step-5", "step": 5, "changes": {"optimizer.lr": 0.1}}
    origin = {**point, "warm_start": False, "actor": "admin", "revert": False}
    nodes = [
        {"id": RUN, "name": None, "status": "running", "step": 9, "origin": None, "metrics": {},
         "parent": None, "depth": 0, **facts},
        {"id": "r22222222", "name": "a rather long name, " * 5, "status": "queued", "step": None,
         "origin": origin, "metrics": {"test/accuracy": 0.75}, "parent": RUN, "depth": 1, **facts},
    ]  # fmt: skip
    answer = {"root": RUN, "run": "r22222222", "tree": None, "nodes": nodes}
    fake.on("GET", "/runs/r22222222/lineage", Said(answer))
    _, told, _ = cli("tree", "r22222222")
    lines = told.splitlines()
    assert lines[0] == f"{RUN} running  step 9"
    assert lines[1].startswith("└── * r22222222 queued  (a rather long name")
    assert lines[1].endswith("forked at step-5  optimizer.lr=0.1  test/accuracy 0.75")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(cli: Cli, shell: str) -> None:
    code, told, _ = cli("completion", shell)
    assert (code, f"_MIDCOURSE_COMPLETE={shell}_complete" in told) == (0, True)


def test_metrics_are_drawn_or_listed(cli: Cli, fake: FakeControl) -> None:
    series = {"steps": [*range(5)], "values": [0.0, 1.0, "NaN", 3.0, 4.0], "next_step": None}
    fake.on("GET", f"/runs/{RUN}/metrics", Said({"run": RUN, "metrics": {"loss": series}}))
    _, told, _ = cli("metrics", RUN, "loss")
    lines = told.splitlines()
    assert lines[0] == "loss  4  0 to 4  (steps 0 to 4)"
    assert [line[0] for line in lines[1:7]] == [" ", " ", " ", " ", " ", "▁"]
    assert [line[4] for line in lines[1:7]] == ["█"] * 6
    assert lines[6][2] == "!"
    _, told, _ = cli("metrics", RUN, "loss", "--csv")
    assert told.splitlines()[:4] == ["metric,step,value", "loss,0,0.0", "loss,1,1.0", "loss,2,NaN"]


def test_a_reader_that_has_seen_enough(fake: FakeControl, tmp_path: Path) -> None:
    fake.on("GET", "/runs", runs(*[run(f"r{number:08}") for number in range(2000)]))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m midcourse.cli runs | head -1"],
        env={"MIDCOURSE_API_URL": fake.url, "MIDCOURSE_API_TOKEN": "mc_test", "HOME": "/"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout[:2], done.stderr) == ("ID", "")


def test_a_terminal_without_blocks(fake: FakeControl) -> None:
    series = {"steps": [0, 1], "values": [1.0, 0.0], "next_step": None}
    metrics = {"train/batch_loss": series, "test/accuracy": series}
    fake.on("GET", f"/runs/{RUN}", Said(run()))
    fake.on("GET", f"/runs/{RUN}/metrics", Said({"run": RUN, "metrics": metrics}))
    done = subprocess.run(
        [sys.executable, "-m", "midcourse.cli", "watch", RUN, "--once"],
        env={
            "MIDCOURSE_API_URL": fake.url,
            "MIDCOURSE_API_TOKEN": "mc_test",
            "HOME": "/",
            "PYTHONIOENCODING": "ascii",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "step 41/100" in done.stdout) == (0, True), done.stderr
    assert done.stdout.isascii()


def test_up_says_where_the_control_api_is_to_be_had(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midcourse.cli.up.find_spec", lambda _: None)
    code, _, told = cli("up")
    assert (code, "it runs from a checkout of Midcourse" in told) == (1, True)


def test_doctor_says_how_to_mend(
    cli: Cli, fake: FakeControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midcourse.cli.checks._run", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    fake.on(
        "GET", "/healthz", Said({"status": "ok", "version": "9.9", "at": "2026-01-02T03:04:05Z"})
    )
    fake.on("GET", "/whoami", Said({"name": "ada", "role": "admin", "expires_at": None}))
    fake.on("GET", "/readyz", Said({"status": "ready", "checks": []}))
    code, told, _ = cli("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(told)["checks"]}
    assert {name: check["verdict"] for name, check in checks.items()} == {
        "Midcourse": "ok",
        "Python": "ok",
        "PyTorch": "fault",
        "GPU": "note",
        "Docker": "note",
        "W&B": "note",
        "Disk": "ok",
        "Control API": "note",
    }
    assert code == 1
    assert "as ada (admin); this is" in checks["Control API"]["found"]
    assert checks["PyTorch"]["mend"].startswith("pip install torch")


def test_an_image_knows_its_commit_and_a_checkout_asks_git(tmp_path: Path) -> None:
    def found() -> str:
        return source(tmp_path).found

    assert found() == f"{__version__} ({tmp_path})"
    for told in (["init", "-q"], [*IDENTITY, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *told], check=True)
    head = ["git", "-C", str(tmp_path), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    assert found() == f"{__version__}, commit {commit} ({tmp_path})"
    (tmp_path / "COMMIT").write_text("c0ffee\n")
    assert found() == f"{__version__}, commit c0ffee ({tmp_path})"


def event(number: int, told: str, run_id: str, /, **details: Any) -> bytes:
    data = {"at": "2026-01-02T03:04:05Z", "run": run_id, "details": details}
    return f"id: {number}\nevent: {told}\ndata: {json.dumps(data)}\n\n".encode()


def test_watching_follows_a_revert_and_tells_what_happens(cli: Cli, fake: FakeControl) -> None:
    child = "r22222222"
    undo = command(action={"kind": "undo", "child": child})

    def once_heard(run_id: str, status: str) -> Callable[[Asked], Said]:
        """The run changes when its events were asked for, so that they are not overtaken."""

        def answer(_: Asked) -> Said:
            heard = any(asked.path.endswith(f"{run_id}/events") for asked in fake.asked)
            return Said(run(run_id, status=status if heard else "running"))

        return answer

    fake.on("GET", f"/runs/{RUN}", Said(run()), once_heard(RUN, "superseded"))
    fake.on("GET", f"/runs/{RUN}/commands", Said({"commands": [undo]}))
    fake.on("GET", f"/runs/{RUN}/commands/1", Said(undo))
    told = event(1, "command", RUN, seq=1, kind="undo", state="applied", step=41)
    fake.on("GET", f"/runs/{RUN}/events", Said(told), Said(b""))
    fake.on("GET", f"/runs/{child}", Said(run(child)), once_heard(child, "finished"))
    ended = event(2, "checkpoint.written", child, name="step-99", step=99)
    fake.on("GET", f"/runs/{child}/events", Said(ended), Said(b""))
    code, told_in_all, _ = cli("watch", RUN)
    lines = [line.partition("  ")[2] for line in told_in_all.splitlines()]
    assert code == 0
    assert lines[0].startswith(f"{RUN} running  step 41/100  35 steps/s")
    assert f"{RUN} 1: undo applied at step 41 (status running → paused)" in lines
    assert f"{child} goes on" in lines
    assert f"{child} checkpoint step-99" in lines
    assert f"{child} finished" in told_in_all


def test_watching_a_run_that_fails_fails(cli: Cli, fake: FakeControl) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(run()), Said(run(status="failed", error="out of memory")))
    fake.on("GET", f"/runs/{RUN}/events", Said(b""))
    code, told, _ = cli("watch", RUN, "--json")
    assert code == 1
    assert [json.loads(line)["status"] for line in told.splitlines()] == ["running", "failed"]


def test_a_run_as_it_is_now_is_drawn(cli: Cli, fake: FakeControl) -> None:
    series = {"steps": [0, 1], "values": [1.0, 0.0], "next_step": None}
    metrics = {"train/batch_loss": series, "test/accuracy": series}
    fake.on("GET", f"/runs/{RUN}", Said(run(step=0, notice="a spike was undone")))
    fake.on("GET", f"/runs/{RUN}/metrics", Said({"run": RUN, "metrics": metrics}))
    code, told, _ = cli("watch", RUN, "--once")
    lines = [line.rstrip() for line in told.splitlines()]
    assert code == 0
    assert "step 0/100  35 steps/s  2s left" in lines[0]
    assert lines[1:4] == ["a spike was undone", "train/batch_loss  0  0 to 1  (steps 0 to 1)", "█"]
    assert fake.asked[-1].query["keys"] == "train/batch_loss,test/accuracy"


def test_up_becomes_the_control_api(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("control_api.up")]:
        monkeypatch.delitem(sys.modules, name)  # another test may have had it
    became: list[tuple[Any, ...]] = []
    monkeypatch.setattr("os.execve", lambda *given: became.append(given))
    (tmp_path / "p.json").write_text("{}")
    config, home = str(tmp_path / "p.json"), str(tmp_path / "h")
    assert cli("up", config, "--port", "9000", "--home", home, "--exit")[0] == 0
    [(program, arguments, environment)] = became
    assert (program, arguments[1:]) == (sys.executable, ["-m", "control_api.up"])
    wanted = {"CONFIG": config, "PORT": "9000", "MIDCOURSE_HOME": home, "EXIT": "1"}
    assert {name: environment[name] for name in wanted} == wanted
    assert "control_api.up" not in sys.modules, "it is started, not imported"
    code, _, told = cli("up", str(tmp_path / "none.json"))
    assert (code, "does not exist" in told) == (2, True)


def test_doctor_tells_another_program_on_the_port_from_none(
    cli: Cli, fake: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = control_api(fake.url)
    assert (other.verdict, "something else has port" in other.found) == (Verdict.FAULT, True)
    fake.close()
    none = control_api(fake.url)
    assert (none.verdict, "the port is free" in none.found) == (Verdict.NOTE, True)


PAGE = (ROOT / "docs" / "cli.md").read_text()


def test_every_command_is_on_the_page_and_no_other() -> None:
    headings = re.findall(r"^### `midcourse (\w+)`$", PAGE, re.MULTILINE)
    assert headings == [*COMMANDS]


def typed() -> list[list[str]]:
    """The commands that the pages type."""
    text = PAGE + (ROOT / "README.md").read_text()
    lines = re.findall(r"^(?:\$ |  )?(?:\.venv/bin/)?midcourse (\S.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_what_the_pages_type_can_be_typed() -> None:
    lines = typed()
    assert len(lines) > 40
    for words in lines:
        with_command = [word for word in words if word in COMMANDS]
        if not with_command:
            assert words == ["--help"]
            continue
        command = root.get_command(click.Context(root), with_command[0])
        while isinstance(command, click.Group):
            command = command.commands[words[words.index(with_command[0]) + 1]]
        assert command is not None
        known = {option for param in command.params for option in param.opts + param.secondary_opts}
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, words


def test_the_page_has_every_exit_code() -> None:
    codes = set(re.findall(r"^ +(\d+)  ", EPILOGUE, re.MULTILINE))
    assert codes == set(re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE))
    assert {str(code) for code in (REFUSED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_YET)} < codes
