"""The link against a small control API that fails in the ways that real ones do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_api import TOKEN, Api
from tiny_run import command, receipts, records, set_up, start, statuses, train

import midcourse
from midcourse import engine
from midcourse.contract.link import LOST_PLACE, WRONG_OFFSET, Heartbeat
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import parse_record
from midcourse.contract.runs import RunStatus
from midcourse.errors import PlaceLost
from midcourse.link import Link


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MIDCOURSE_API_URL", api.url)
    monkeypatch.setenv("MIDCOURSE_RUN_ID", "r1")
    monkeypatch.setenv("MIDCOURSE_RUN_TOKEN", TOKEN)
    monkeypatch.setenv("MIDCOURSE_ATTEMPT", "3")
    monkeypatch.setattr("midcourse.link._LONGEST_PAUSE", 0.3)


def shipped(api: Api, home: Path, run: str = "r1") -> bool:
    return bytes(api.logs[run]) == RunPaths(home, run).run_log.read_bytes()


def test_the_whole_log_arrives_and_the_heart_beats(api: Api, tmp_path: Path) -> None:
    train(tmp_path, epochs=4)
    assert shipped(api, tmp_path)
    lines = bytes(api.logs["r1"]).splitlines()
    assert parse_record(lines[0]).type == "started"
    last = api.beats["r1"][-1]
    assert (last.status, last.step) == (RunStatus.FINISHED, 19)
    assert (last.epoch, last.total_steps) == (3, 20)
    assert api.attempts == {3}


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}),
        (502, b"<html>bad gateway</html>"),
        (200, b"no json"),
        (200, b""),
        (200, {"next_offset": -1}),
        (200, {"next_offset": 1, "more": 2}),
        (409, {"type": WRONG_OFFSET}),
        (409, {"type": WRONG_OFFSET, "next_offset": "0"}),
        (429, {}),
    ],
    ids=repr,
)
def test_bad_answers_are_borne_and_every_byte_arrives_once(
    api: Api, tmp_path: Path, answer: tuple[int, Any]
) -> None:
    countdown = iter(range(4))
    api.trouble = lambda path: answer if next(countdown, None) is not None else None
    train(tmp_path)
    assert shipped(api, tmp_path)


def test_what_arrived_without_an_answer_is_not_sent_twice(api: Api, tmp_path: Path) -> None:
    """The API stored it and died before it could say so."""
    store = api._report
    stored: list[int] = []

    def store_and_fail(run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        code, answer = store(run, query, body)
        stored.append(code)
        return (503, {}) if len(stored) % 2 else (code, answer)

    api._report = store_and_fail  # type: ignore[method-assign]
    train(tmp_path)
    assert shipped(api, tmp_path)


def test_an_outage_is_waited_out(api: Api, tmp_path: Path) -> None:
    def each(run: Any) -> None:
        if run.current_step == 2:
            api.wait_until(lambda: api.logs.get("r1"))
            api.close()
        if run.current_step == 7:
            api.open()

    train(tmp_path, each=each)
    assert shipped(api, tmp_path)


def test_a_restarted_trainer_ships_the_rest(api: Api, tmp_path: Path) -> None:
    def fail(run: Any) -> None:
        if run.current_step == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tmp_path, each=fail)
    train(tmp_path)
    assert shipped(api, tmp_path)
    assert statuses(tmp_path) == ["failed", "finished"]


def test_commands_come_through_and_receipts_go_back(api: Api, tmp_path: Path) -> None:
    changes = {"optimizer.lr": 0.5}
    api.send(command(1, "pause"), command(2, "set", changes=changes))

    def resume() -> None:
        api.wait_until(
            lambda: (
                any(beat.status is RunStatus.PAUSED for beat in api.beats.get("r1", []))
                and b'"seq":2' in api.logs["r1"]
            )
        )
        api.send(command(3, "resume"))

    thread = threading.Thread(target=resume)
    thread.start()

    def each(run: Any) -> None:
        if run.current_step == 4:  # by now the first two are here
            deadline = time.monotonic() + 20
            while not run.boundary.alerted and len(receipts(tmp_path)) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    run = train(tmp_path, each=each)
    thread.join()
    assert run.parameters.values()["optimizer.lr"] == 0.5
    assert [receipt.state.value for receipt in receipts(tmp_path).values()] == ["applied"] * 3
    assert shipped(api, tmp_path)


def test_a_restarted_trainer_asks_only_for_what_it_has_not_dealt_with(
    api: Api, tmp_path: Path
) -> None:
    def fail(run: Any) -> None:
        if run.current_step == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(
            tmp_path,
            each=fail,
            commands={1: [command(1, "set", changes={"optimizer.lr": -1.0})]},
        )
    asked: list[str] = []
    commands = api._commands

    def note(run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        asked.append(query["after"])
        return commands(run, query, body)

    api._commands = note  # type: ignore[method-assign]
    train(tmp_path, each=lambda _: api.wait_until(lambda: asked))
    assert set(asked) == {"1"}


def test_a_lost_place_ends_the_session_without_a_word(api: Api, tmp_path: Path) -> None:
    def each(run: Any) -> None:
        if run.current_step == 2:
            api.wait_until(lambda: api.logs.get("r1"))
            api.trouble = lambda path: (409, {"type": LOST_PLACE, "detail": "attempt 4 has it"})
        if run.current_step >= 2:
            time.sleep(0.05)

    with pytest.raises(PlaceLost, match="was given to another process"):
        train(tmp_path, each=each, epochs=100)
    assert statuses(tmp_path) == []


def test_without_an_api_the_training_is_unhindered_and_the_end_bounded(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.close()
    monkeypatch.setattr(engine, "LINK_SECONDS", 0.3)
    began = time.monotonic()
    run = train(tmp_path)
    assert run.last_step == 9
    assert time.monotonic() - began < 5
    assert statuses(tmp_path) == ["finished"]
    api.open()


def test_an_api_that_never_answers_does_not_hold_the_end_either(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = threading.Event()
    api.trouble = lambda path: (silence.wait(20), None)[1]
    monkeypatch.setattr(engine, "LINK_SECONDS", 0.3)
    began = time.monotonic()
    train(tmp_path)
    assert time.monotonic() - began < 5
    silence.set()


def test_a_revert_ships_the_parent_to_its_end_and_then_the_child(api: Api, tmp_path: Path) -> None:
    api.send(command(1, "set", run="r2", changes={"optimizer.lr": 0.5}))  # numbers begin anew
    revert = command(1, "revert", checkpoint="step-1", child="r2")

    def each(run: Any) -> None:
        if run.id == "r2" and run.current_step == 5:
            api.wait_until(lambda: ("r2", "commands") in api.requests)
            deadline = time.monotonic() + 20
            while not run.boundary.alerted and not receipts(tmp_path, "r2"):
                assert time.monotonic() < deadline
                time.sleep(0.01)

    run = train(tmp_path, epochs=3, checkpoint_every="2 steps", commands={6: [revert]}, each=each)
    assert run.id == "r2"
    assert shipped(api, tmp_path, "r1")
    assert shipped(api, tmp_path, "r2")
    assert statuses(tmp_path) == ["superseded"]
    assert receipts(tmp_path, "r2")[1].state.value == "applied"
    order = [name for name, what in api.requests if what == "report"]
    assert order == sorted(order)


def test_a_revert_that_the_api_never_heard_of_is_told_after_a_crash(
    api: Api, tmp_path: Path
) -> None:
    """Killed when the journal had the outcome: neither the log nor the API knows of it."""
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(midcourse.__file__).parents[1]), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from midcourse.journal import Journal
from tiny_run import command, train
conclude = Journal.conclude
def conclude_and_die(*args):
    conclude(*args)
    os.kill(os.getpid(), signal.SIGKILL)
Journal.conclude = conclude_and_die
revert = command(1, "revert", checkpoint="step-1", child="r2")
train(Path({str(tmp_path)!r}), checkpoint_every="2 steps", commands={{6: [revert]}})
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MIDCOURSE_API_URL": "http://127.0.0.1:9"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment)
    assert ended.returncode == -signal.SIGKILL
    assert receipts(tmp_path) == {}
    run = train(tmp_path, checkpoint_every="2 steps")
    assert (run.id, run.last_step) == ("r2", 9)
    assert receipts(tmp_path)[1].after["run"] == "r2"
    assert statuses(tmp_path) == ["superseded"]
    assert shipped(api, tmp_path, "r1")
    assert shipped(api, tmp_path, "r2")
    assert set(api.beats) == {"r2"}
    order = [name for name, what in api.requests if what == "report"]
    assert order == sorted(order)


def test_a_netrc_does_not_speak_for_us(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    train(tmp_path, epochs=1)
    assert shipped(api, tmp_path)


def test_trouble_with_the_machine_itself_is_borne(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file descriptors left, say: the link tries again, and is not gone for ever."""
    from midcourse import link as link_module

    lines = link_module.whole_lines
    countdown = iter(range(3))

    def trouble(*args: Any) -> list[bytes]:
        if next(countdown, None) is not None:
            raise OSError(24, "Too many open files")
        return lines(*args)

    monkeypatch.setattr(link_module, "whole_lines", trouble)
    train(tmp_path)
    assert shipped(api, tmp_path)


def test_a_link_that_follows_nothing_ends_at_once(api: Api) -> None:
    link = Link(
        api.url,
        TOKEN,
        1,
        heartbeat=lambda: Heartbeat(status=RunStatus.RUNNING, step=None, epoch=0),
        on_command=lambda _: None,
        on_lost=lambda: None,
    )
    assert link.finish(1.0)


def test_a_run_that_is_not_steered_has_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Api
) -> None:
    monkeypatch.delenv("MIDCOURSE_API_URL")
    with start(tmp_path) as run:
        set_up(run)
        assert run.link is None
        assert len(list(run.batches(torch.arange(4), batch_size=4))) == 1
    assert api.requests == []
    assert records(tmp_path)


def test_with_a_lease_a_silent_api_is_waited_for(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a launcher on another machine needs it: nobody trains whose place may be another's."""
    monkeypatch.setattr("midcourse.lease.LOOK_SECONDS", 0.02)
    report = api._report

    def with_lease(run: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        code, answer = report(run, query, body)
        return code, answer | {"lease_seconds": 2.0}

    api._report = with_lease  # type: ignore[method-assign]
    waited_at: list[int] = []
    back = threading.Event()

    def come_back(run: Any) -> None:
        store = run.branch.store
        deadline = time.monotonic() + 20
        while "step-2" not in store.names() and time.monotonic() < deadline:
            time.sleep(0.02)
        waited_at.append(run.current_step)
        back.set()
        api.trouble = lambda path: None

    def each(run: Any) -> None:
        if run.current_step == 2:
            api.wait_until(lambda: api.beats.get("r1"))
            api.trouble = lambda path: (503, {})
            deadline = time.monotonic() + 30
            while not run.lease_is_over:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            threading.Thread(target=come_back, args=(run,)).start()
        if run.current_step == 3:
            assert back.is_set(), "it went on though nobody answered"

    train(tmp_path, each=each)
    assert waited_at == [3]  # the boundary behind step 2, and no further
    assert shipped(api, tmp_path)
    notices = [record.message for record in records(tmp_path) if record.type == "notice"]
    assert sum("has not answered for longer than the lease" in notice for notice in notices) == 1
