"""A replay is the run that it replays: equal to the bit, also when it is killed on the way."""

import json
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from steered import train, train_in_process
from tiny_run import receipts, records

from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command
from midcourse.contract.errors import InvalidInput
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Notice, StatusChanged
from midcourse.contract.runs import Origin, RunFile, RunStatus
from midcourse.errors import JournalUnusable
from midcourse.replay.export import export_journal, write_journal
from midcourse.replay.finding import find_journal
from midcourse.session import Session


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)


def change(**changes: Any) -> dict[str, Any]:
    return {"kind": "set", "changes": {name.replace("__", "."): v for name, v in changes.items()}}


Action = dict[str, Any]
PIN: Action = {"kind": "checkpoint", "pin": True}
SCHEDULED = 21
PLAN: dict[int, list[Action]] = {
    -1: [change(noise=0.2)],
    2: [change(optimizer__lr=0.02, noise=0.3)],
    5: [{"kind": "checkpoint", "pin": True}, change(model__dropout=0.4)],
    9: [
        {"kind": "pause"},
        change(optimizer__momentum=0.5, optimizer__weight_decay=0.05),
        {"kind": "resume"},
    ],
    12: [change(loss__label_smoothing=0.1), {"kind": "alert", "message": "smoother"}],
    14: [change(optimizer__lr={"value": 0.5, "mode": "scale"})],
    17: [change(train__epochs=6, train__checkpoint_every="4 steps")],
    26: [{"kind": "reinitialise", "layers": ["3"]}, change(nonsense=1)],
    44: [{"kind": "stop"}],
}
"""Commands of nearly every kind, one of them refused; another is scheduled for `SCHEDULED`."""


def command(run: Session, seq: int, action: Action, **fields: Any) -> Command:
    asked = {"run": run.id, "seq": seq, "actor": "ada", "accepted_at": utc_now(), "action": action}
    return Command.model_validate(asked | fields)


def schedule(run: Session, step: int) -> None:
    """After the first step: a change that waits for its step, and one that is withdrawn."""
    if run.id == "r1" and step == 0:
        later = change(optimizer__lr=0.004)
        at = {"step": SCHEDULED}
        run.boundary.mailbox.post(command(run, 101, later, at=at, reason="to see"))
        run.boundary.mailbox.post(command(run, 102, later, at={"step": 40}))
        run.boundary.mailbox.post(command(run, 103, {"kind": "cancel", "seq": 102}))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home with the run r1, and what became of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        home = tmp_path_factory.mktemp("original")
        return home, train(home, "r1", plan=PLAN, on_step=schedule)


def exported(home: Path, run: str, file: Path) -> Path:
    write_journal(export_journal(home, run), file)
    return file


def commands_in(home: Path, run: str) -> list[dict[str, Any]]:
    """What an exported journal tells of each command, but for who numbered it when."""
    lines = [json.loads(line) for line in export_journal(home, run)[1:]]
    told = ("actor", "step", "action", "before", "after", "state")
    return [{name: line[name] for name in told} for line in lines]


def notices(home: Path, run: str) -> list[str]:
    return [record.message for record in records(home, run) if isinstance(record, Notice)]


def end(home: Path, run: str) -> StatusChanged:
    return [record for record in records(home, run) if isinstance(record, StatusChanged)][-1]


def verdict(home: Path, run: str) -> str:
    return str(end(home, run).summary["replay"])


def test_a_replay_of_many_kinds_of_commands_is_the_original(
    original: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, first = original
    file = exported(home, "r1", tmp_path / "r1.jsonl")
    again = train(tmp_path, "r9", replay=str(file))
    assert again["hash"] == first["hash"]
    assert again["losses"] == first["losses"]
    assert verdict(tmp_path, "r9") == "exact"
    assert end(tmp_path, "r9").status is RunStatus.STOPPED
    kinds = {line["action"]["kind"] for line in commands_in(home, "r1")}
    assert kinds == {
        "set", "checkpoint", "pause", "resume", "alert", "cancel", "reinitialise", "stop"
    }  # fmt: skip
    acted = [
        line
        for line in commands_in(home, "r1")
        if line["action"]["kind"] not in ("pause", "resume", "cancel")
    ]
    assert len(acted) == 12
    assert commands_in(tmp_path, "r9") == acted
    assert any("2 pauses and resumes are left out" in notice for notice in notices(tmp_path, "r9"))
    [scheduled] = [r for r in receipts(tmp_path, "r9").values() if r.step == SCHEDULED]
    [told] = [intent for intent in own_intents(tmp_path, "r9") if intent["step"] == SCHEDULED]
    assert told["command"]["actor"] == "ada"
    assert told["command"]["reason"] == "replay of r1: to see"
    assert told["command"]["seq"] == scheduled.seq < 0


def own_intents(home: Path, run: str) -> list[dict[str, Any]]:
    lines = RunPaths(home, run).journal.read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["type"] == "intent"]


def test_a_run_of_the_same_home_is_replayed_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = {4: [change(optimizer__lr=0.3)], 30: [{"kind": "stop"}]}
    first = train(tmp_path, "r1", plan=plan)
    monkeypatch.setenv("MIDCOURSE_REPLAY", "r1")
    again = train(tmp_path, "r2")
    assert again["hash"] == first["hash"]
    assert verdict(tmp_path, "r2") == "exact"
    run_file = RunFile.model_validate_json(RunPaths(tmp_path, "r2").run_file.read_bytes())
    assert run_file.replay == "r1"
    monkeypatch.setenv("MIDCOURSE_REPLAY", "r2")
    assert train(tmp_path, "r3")["hash"] == first["hash"]
    assert verdict(tmp_path, "r3") == "exact"
    assert own_intents(tmp_path, "r3")[0]["command"]["reason"] == "replay of r1"


SETTINGS: dict[str, list[Any]] = {
    "optimizer.lr": [
        0.5,
        0.001,
        {"value": 0.9, "mode": "scale"},
        {"value": 0.2, "mode": "override"},
    ],
    "optimizer.momentum": [0.0, 0.99],
    "optimizer.weight_decay": [0.0, 0.3],
    "model.dropout": [0.0, 0.9],
    "data.batch_size": [7, 64],
    "loss.label_smoothing": [0.0, 0.2],
    "train.epochs": [1, 5, 6],
    "train.checkpoint_every": ["3 steps", None],
    "noise": [0.0, 1.0, 2.0],
}


def random_action(dice: random.Random) -> Action:
    others = [PIN, {"kind": "reinitialise", "layers": [dice.choice(["0", "3", "9"])]}]
    if dice.random() < 0.3:
        return dice.choice(others)
    names = dice.sample(sorted(SETTINGS), dice.randint(1, 3))
    return {"kind": "set", "changes": {name: dice.choice(SETTINGS[name]) for name in names}}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_commanded_is_repeated(seed: int, tmp_path: Path) -> None:
    """Some of it is refused: values out of bounds, layers that are not there, epochs gone by."""
    dice = random.Random(seed)
    plan = {
        step: [random_action(dice) for _ in range(dice.randint(1, 3))]
        for step in dice.sample(range(-1, 30), 9)
    }
    optimizer = dice.choice(["sgd", "adam", "adamw", "rmsprop"])
    first = train(tmp_path, "r1", plan=plan, optimizer=optimizer)
    again = train(tmp_path, "r2", replay="r1", optimizer=optimizer)
    assert again["hash"] == first["hash"]
    assert again["losses"] == first["losses"]
    assert verdict(tmp_path, "r2") == "exact"
    assert commands_in(tmp_path, "r2") == commands_in(tmp_path, "r1")


# -- killed on the way ------------------------------------------------------------------------


class Processes:
    """Training processes, forked from a server that has torch loaded."""

    def __init__(self, folder: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._context.set_forkserver_preload(["steered_warm"])
        self.folder = folder
        self.result = folder / "result.json"
        self._started: list[BaseProcess] = []

    def run(self, **options: Any) -> int:
        options = {"kill_after": None, "kill_at": None, "home": self.folder} | options
        process = self._context.Process(
            target=train_in_process, kwargs={"result": self.result, **options}
        )
        process.start()
        self._started.append(process)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def outcome(self) -> Any:
        return json.loads(self.result.read_text())


@pytest.mark.parametrize(
    "place",
    [
        "journalled:1",
        "journalled:4",
        "journalled:9",
        "concluded:2",
        "concluded:8",
        "captured:3",
        "logged:9",
        "unwritten:5",
    ],
)
def test_a_replay_that_is_killed_and_started_again_needs_no_source(
    place: str, original: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, first = original
    file = exported(home, "r1", tmp_path / "r1.jsonl")
    processes = Processes(tmp_path)
    options = {"run_id": "r9", "replay": str(file)}
    assert processes.run(kill_at=place, **options) == -signal.SIGKILL
    file.unlink()
    assert find_journal(str(file), tmp_path, "r9").header.run == "r1"
    assert processes.run(run_id="r9") == 0
    assert processes.outcome()["hash"] == first["hash"]
    assert verdict(tmp_path, "r9") == "exact"
    assert {r.state.value for r in receipts(tmp_path, "r9").values()} == {"applied"}


# -- policies ---------------------------------------------------------------------------------

PLATEAU = {"kind": "plateau", "metric": "train/loss", "patience": 2, "factor": 0.7}


def test_what_policies_did_is_replayed_without_them(tmp_path: Path) -> None:
    """Their memory is part of the original's states, and not of a replay's."""
    plan = {11: [{"kind": "checkpoint"}], 33: [{"kind": "stop"}]}
    first = train(tmp_path, "r1", plan=plan, policies=[PLATEAU])
    again = train(tmp_path, "r2", replay="r1", policies=[PLATEAU])
    own = [intent["command"]["actor"] for intent in own_intents(tmp_path, "r2")]
    assert own.count("policy:plateau") >= 2
    assert own.count("test") == 2
    assert again["hash"] == first["hash"]
    assert verdict(tmp_path, "r2") == "exact"


# -- branches ---------------------------------------------------------------------------------


def posting(*steps: tuple[int, Action]) -> Callable[[Session, int], None]:
    """Posts each action once, at its step, to whichever run is there then."""
    waiting = list(enumerate(steps, start=1))

    def on_step(run: Session, step: int) -> None:
        while waiting and step == waiting[0][1][0]:
            seq, (_, action) = waiting.pop(0)
            run.boundary.mailbox.post(command(run, seq, action))
            if action["kind"] in ("revert", "undo"):
                return  # what follows is for its child

    return on_step


REVERTED = {"optimizer.lr": 0.004, "noise": 0.5}
FORKED = {"model.dropout": 0.05}
FORKED_AGAIN = {"optimizer.momentum": 0.3}


def branch_off(patch: pytest.MonkeyPatch, run: str, checkpoint: str, **fields: Any) -> None:
    origin = Origin(run=run, checkpoint=checkpoint, actor="eve", **fields)
    patch.setenv("MIDCOURSE_ORIGIN", origin.to_json())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """r4 is a fork of r3, a fork of r2, which a revert of r1 made; and what became of r4."""
    home = tmp_path_factory.mktemp("tree")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        revert = {
            "kind": "revert", "checkpoint": "step-13", "child": "r2", "changes": REVERTED
        }  # fmt: skip
        train(
            home,
            "r1",
            on_step=posting(
                (3, change(optimizer__lr=0.02)),
                (13, PIN),
                (16, change(model__dropout=0.6)),
                (19, revert),
                (22, change(optimizer__weight_decay=0.1)),
                (25, PIN),
                (28, change(noise=0.9)),
                (30, {"kind": "stop"}),
            ),
        )
        branch_off(patch, "r2", "step-25", changes=FORKED)
        reinitialise = {"kind": "reinitialise", "layers": ["0"]}
        train(home, "r3", on_step=posting((27, reinitialise), (31, {"kind": "stop"})))
        branch_off(patch, "r3", "step-31", changes=FORKED_AGAIN)
        last = posting((33, {"kind": "reinitialise", "layers": ["3"]}), (33, change(noise=0.0)))
        return home, train(home, "r4", on_step=last)


def test_a_fork_of_a_fork_of_a_revert_is_the_same_commands_in_one_line(
    tree: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, last = tree
    straight = train(
        tmp_path,
        "r1",
        plan={
            3: [change(optimizer__lr=0.02)],
            13: [{"kind": "set", "changes": REVERTED}],
            22: [change(optimizer__weight_decay=0.1)],
            25: [{"kind": "set", "changes": FORKED}],
            27: [{"kind": "reinitialise", "layers": ["0"]}],
            31: [{"kind": "set", "changes": FORKED_AGAIN}],
            33: [{"kind": "reinitialise", "layers": ["3"]}, change(noise=0.0)],
        },
    )
    assert last["hash"] == straight["hash"]
    file = exported(home, "r4", tmp_path / "r4.jsonl")
    header = json.loads(file.read_text().splitlines()[0])
    assert header["line"] == ["r1", "r2", "r3", "r4"]
    again = train(tmp_path, "r9", replay=str(file))
    assert again["hash"] == last["hash"]
    assert verdict(tmp_path, "r9") == "exact"
    assert {**again["losses"], **last["losses"]} == again["losses"]
    kinds = [(line["step"], line["action"]["kind"]) for line in commands_in(home, "r4")]
    assert kinds == [
        (3, "set"),
        (13, "set"),
        (22, "set"),
        (25, "checkpoint"),
        (25, "set"),
        (27, "reinitialise"),
        (31, "set"),
        (33, "reinitialise"),
        (33, "set"),
    ]


def test_what_was_undone_is_no_part_of_the_way(tmp_path: Path) -> None:
    """Undone twice: the second time the checkpoint is one of the first run's."""
    on_step = posting(
        (5, change(noise=0.5)),
        (9, change(optimizer__lr=0.3)),
        (12, {"kind": "undo", "child": "r2"}),
        (15, {"kind": "undo", "child": "r3"}),
        (18, change(optimizer__momentum=0.2)),
    )
    last = train(tmp_path, "r1", on_step=on_step)
    assert last["id"] == "r3"
    assert [(line["step"], line["action"]["kind"]) for line in commands_in(tmp_path, "r3")] == [
        (18, "set")
    ]
    again = train(tmp_path, "r9", replay="r3")
    assert again["hash"] == last["hash"]
    assert verdict(tmp_path, "r9") == "exact"


def test_a_replay_of_a_superseded_run_stops_where_it_did_and_names_the_successor(
    tree: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, _ = tree
    file = exported(home, "r1", tmp_path / "r1.jsonl")
    train(tmp_path, "r9", replay=str(file))
    assert (end(tmp_path, "r9").status, end(tmp_path, "r9").step) == (RunStatus.STOPPED, 19)
    assert any("replay run r2, which went on" in notice for notice in notices(tmp_path, "r9"))
    assert verdict(tmp_path, "r9").startswith("not compared: every command did as recorded")


def test_a_reverted_replay_goes_on_by_itself(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan={5: [PIN], 20: [change(optimizer__lr=0.9)]})
    back = {"kind": "revert", "checkpoint": "step-5", "child": "r3"}
    replayed = train(tmp_path, "r2", replay="r1", on_step=posting((10, back)))
    assert replayed["id"] == "r3"
    assert receipts(tmp_path, "r3") == {}
    assert "replay" not in end(tmp_path, "r3").summary
    assert replayed["hash"] == train(tmp_path / "plain", "r1")["hash"]


# -- what is not the original -----------------------------------------------------------------


def tampered(home: Path, file: Path, change_line: Callable[[dict[str, Any]], None]) -> Path:
    """An exported journal in which the first `set` at step 5 or later was altered."""
    lines = [json.loads(line) for line in export_journal(home, "r1")]
    altered = next(i for i in lines[1:] if i["step"] >= 5 and i["action"]["kind"] == "set")
    change_line(altered)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"after": {"model.dropout": 0.7}},
            "model.dropout reads 0.4 after it, and read 0.7 then",
        ),
        (
            {"action": {"kind": "set", "changes": {"model.dropuot": 0.4}}},
            "it was rejected: model.dropuot",
        ),
    ],
)
def test_what_does_not_do_as_recorded_is_said_loudly_and_the_rest_goes_on(
    fields: dict[str, Any], said: str, original: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, first = original
    file = tampered(home, tmp_path / "r1.jsonl", lambda line: line.update(fields))
    train(tmp_path, "r9", replay=str(file))
    assert verdict(tmp_path, "r9").startswith(
        f"diverged at step 5, command 4 of run r1 (set) did not do as recorded: {said}"
    )
    assert any("the replay diverged at step 5" in notice for notice in notices(tmp_path, "r9"))
    assert end(tmp_path, "r9").step == max(first["losses"])


def test_a_divergence_outlives_a_crash_and_is_said_once(
    original: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home, _ = original
    altered = {"after": {"model.dropout": 0.7}}
    file = tampered(home, tmp_path / "r1.jsonl", lambda line: line.update(altered))
    processes = Processes(tmp_path)
    options: dict[str, Any] = {"run_id": "r9", "replay": str(file)}
    assert processes.run(kill_at="journalled:8", **options) == -signal.SIGKILL
    assert processes.run(**options) == 0
    assert verdict(tmp_path, "r9").startswith("diverged at step 5")
    said = [notice for notice in notices(tmp_path, "r9") if notice.startswith("the replay diverg")]
    assert len(said) == 1


def test_other_commands_make_another_end(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan={5: [change(optimizer__lr=0.2)]})
    train(tmp_path, "r2", replay="r1", on_step=posting((35, change(noise=1.0))))
    assert verdict(tmp_path, "r2").startswith("differs: the state after step 39 has the hash")


def test_a_replay_that_is_stopped_early_is_incomplete(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan={30: [change(optimizer__lr=0.2)]})
    train(tmp_path, "r2", replay="r1", on_step=posting((9, {"kind": "stop"})))
    assert (
        verdict(tmp_path, "r2") == "incomplete: it ended after step 9, before 1 recorded commands"
    )


# -- refused before anything begins -----------------------------------------------------------


def test_a_journal_of_another_training_is_refused_with_every_difference(
    original: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    def differ(header: dict[str, Any]) -> None:
        header.update(seed=4, experiment="other", config={"optimizer": "adam", "more": 1})

    home, _ = original
    lines = [json.loads(line) for line in export_journal(home, "r1")]
    differ(lines[0])
    file = tmp_path / "r1.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidInput) as refused:
        train(tmp_path, "r9", replay=str(file))
    assert {fault.path: fault.message for fault in refused.value.faults} == {
        "experiment": "is 'steered'; the journal began with 'other' of run r1",
        "seed": "is 3; the journal began with 4 of run r1",
        "config.optimizer": "is 'sgd'; the journal began with 'adam' of run r1",
        "config.more": "is not given; the journal began with 1 of run r1",
    }
    assert not RunPaths(tmp_path, "r9").folder.exists()


def refusal(home: Path, run: str, source: str) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        train(home, run, replay=source)
    return [str(fault) for fault in refused.value.faults]


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    [said] = refusal(tmp_path, "r9", "r8")
    assert said.startswith(f"replay: there is neither a file r8 nor a run of this id in {tmp_path}")


def test_a_run_that_began_otherwise_does_not_become_a_replay(tmp_path: Path) -> None:
    train(tmp_path, "r1", plan={5: [change(noise=0.2)]})

    def fail(run: Session, step: int) -> None:
        if step == 8:
            raise RuntimeError("the program has a fault")

    for run, source, began in (("r2", None, "as no replay"), ("r3", "r1", "as a replay of r1")):
        with pytest.raises(RuntimeError):
            train(tmp_path, run, replay=source, on_step=fail)
        [said] = refusal(tmp_path, run, "r2")
        assert said == f"replay: is r2, but run {run} began {began}; start a new run"


def test_a_fork_is_no_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, "r1", plan={5: [PIN]})
    branch_off(monkeypatch, "r1", "step-5")
    [said] = refusal(tmp_path, "r2", "r1")
    assert said == "replay: a replay begins at step 0, and this run is a fork of r1"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"warm_start": True}, "with an edited model, and one program has one model"),
    ],
)
def test_a_way_of_two_programs_cannot_be_replayed_in_one_line(
    fields: dict[str, Any], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, "r1", plan={5: [PIN]})
    with monkeypatch.context() as patch:
        branch_off(patch, "r1", "step-5", **fields)
        train(tmp_path, "r2")
    [said] = refusal(tmp_path, "r3", "r2")
    assert said == (
        "replay: the way of run r2 cannot be replayed in one line: run r2 began at step-5 of run "
        f"r1 {why}. Replay run r1 instead, or fork"
    )


# -- the export -------------------------------------------------------------------------------


def test_a_run_that_still_trains_is_exported_as_far_as_it_came(tmp_path: Path) -> None:
    lines: list[str] = []

    def export(run: Session, step: int) -> None:
        if step == 12:
            lines.extend(export_journal(tmp_path, "r1"))

    train(
        tmp_path,
        "r1",
        plan={5: [change(noise=0.2)], 9: [{"kind": "pause"}, {"kind": "resume"}]},
        on_step=export,
    )
    header, *commands = map(json.loads, lines)
    assert (header["status"], header["last_step"], header["state_hash"]) == (None, None, None)
    assert [line["step"] for line in commands] == [5, 9, 9]


def break_run_file(home: Path) -> None:
    RunPaths(home, "r1").run_file.write_text("{")


def lose_run_file(home: Path) -> None:
    RunPaths(home, "r1").run_file.unlink()


def break_journal(home: Path) -> None:
    RunPaths(home, "r1").journal.write_text("{}\n")


def lose_checkpoint(home: Path) -> None:
    (RunPaths(home, "r1").checkpoint("step-5") / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_run_file, "r1/run.json is damaged"),
        (lose_run_file, "there is no run r1, from which run r2 came in"),
        (break_journal, "line 1 of .*r1/journal.jsonl is damaged"),
        (lose_checkpoint, "r1/checkpoints/step-5/manifest.json is missing; it says which commands"),
    ],
)
def test_what_is_missing_of_an_ancestor_is_named(
    harm: Callable[[Path], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, "r1", plan={5: [PIN]})
    branch_off(monkeypatch, "r1", "step-5")
    train(tmp_path, "r2")
    harm(tmp_path)
    with pytest.raises(JournalUnusable, match=said):
        export_journal(tmp_path, "r2")
