"""`GET /runs/{id}/logs` and `GET /runs/{id}/journal`."""

import json
import threading

import pytest
from control_bench import Bench, status

from control_api import journal
from control_api.console import LOOK_SECONDS, Watch
from midcourse.contract.paths import RunPaths


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "home")
    yield bench
    bench.database.bell.silence()
    bench.close()


@pytest.fixture
def trainer(bench):
    trainer = bench.submit()
    trainer.say(trainer.started())
    trainer.paths.folder.mkdir(parents=True, exist_ok=True)
    return trainer


def printing(trainer, text):
    with trainer.paths.console_log.open("ab") as file:
        file.write(text)


def ask(trainer, query=""):
    answer = trainer.bench.ask("GET", f"/runs/{trainer.run}/logs{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer


def test_a_run_that_has_not_printed_has_an_empty_log(trainer):
    answer = ask(trainer)
    assert (answer.data, answer.headers["Next-Offset"]) == (b"", "0")
    assert ask(trainer, "?tail=10").data == b""


def test_a_client_goes_on_where_it_was(trainer):
    printing(trainer, b"one\ntwo\nthr\xff\xc3")
    first = ask(trainer)
    assert (first.text, first.headers["Next-Offset"]) == ("one\ntwo\nthr?", "12")
    assert first.headers["Content-Length"] == "12"
    printing(trainer, b"\xbcee\n")
    second = ask(trainer, "?offset=12")
    assert (second.text, second.headers["Log-Offset"]) == ("üee\n", "12")
    tail = ask(trainer, "?tail=1")
    assert (tail.text, tail.headers["Log-Offset"]) == ("thr?üee\n", "8")
    beyond = ask(trainer, "?offset=5000")
    assert (beyond.text, beyond.headers["Next-Offset"]) == ("", "17")


def test_it_is_followed_while_the_run_lives(trainer):
    printing(trainer, b"one\ntwo\n")
    pieces = ask(trainer, "?tail=1&follow=true").iter_encoded()
    assert (next(pieces), next(pieces)) == (b"", b"two\n")
    printing(trainer, b"three\n")
    assert next(pieces) == b"three\n"
    trainer.say(status("finished", step=1))
    printing(trainer, b"goodbye\n")
    assert next(pieces) == b"goodbye\n"  # the process is still there
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(pieces))
    reader.start()
    printing(trainer, b"really\n")
    trainer.end(0)
    trainer.bench.round()
    reader.join(20)
    assert not reader.is_alive()
    assert b"".join(rest) == b"really\n"


def test_following_ends_when_the_process_does(trainer):
    pieces = ask(trainer, "?follow=true").iter_encoded()
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(pieces))
    reader.start()
    trainer.bench.database.bell.silence()
    reader.join(20)
    assert not reader.is_alive()


def test_following_ends_when_nobody_listens(trainer):
    now, gone = [0.0], [False]
    watch = Watch(trainer.bench.database, trainer.run, lambda: gone[0], lambda: now[0])
    assert not watch()
    gone[0] = True
    assert not watch()  # looked a moment ago
    now[0] += LOOK_SECONDS
    assert watch()


def test_a_run_that_took_anothers_place_prints_where_that_one_did(bench, trainer):
    printing(trainer, b"one process\n")
    path = f"/runs/{trainer.run}/revert"
    trainer.say(trainer.checkpoint("step-5"))
    command = bench.post(path, {"checkpoint": "step-5"}, expect=202)
    child = trainer.as_child(command["action"]["child"])
    assert ask(child).text == "one process\n"
    child.paths.folder.mkdir(parents=True, exist_ok=True)
    RunPaths(bench.home, child.run).console_log.write_bytes(b"a new process\n")
    assert ask(child).text == "a new process\n"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("tail=1&offset=1", "exclude each other"),
        ("tail=-1", "tail"),
        ("tail=100001", "tail"),
        ("follow=yes", "must be true or false"),
    ],
)
def test_what_cannot_be_asked_is_a_problem(trainer, query, message):
    answer = trainer.bench.ask("GET", f"/runs/{trainer.run}/logs?{query}")
    assert answer.status_code == 422
    assert message in answer.text


@pytest.mark.parametrize("part", ["logs", "logs?follow=true", "journal"])
def test_a_run_that_is_not_there_is_a_problem(bench, part):
    answer = bench.ask("GET", f"/runs/rnothere/{part}")
    assert (answer.status_code, answer.json["type"]) == (404, "/problems/unknown-run")


def test_the_journal_is_a_file_in_the_order_of_acting(trainer, monkeypatch):
    monkeypatch.setattr(journal, "AT_ONCE", 2)
    bench = trainer.bench
    for _ in range(5):
        bench.post(f"/runs/{trainer.run}/checkpoint", expect=202)
    commands = trainer.poll()
    steps = [40, 2**40, 7, None, 9]
    for command, step in zip(commands, steps, strict=True):
        state = "rejected" if step is None else "applied"
        trainer.say(trainer.done(command, state, step=step))
    answer = bench.ask("GET", f"/runs/{trainer.run}/journal")
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="{trainer.run}.journal.jsonl"'
    )
    assert answer.content_type == "application/x-ndjson"
    entries = [json.loads(line) for line in answer.text.splitlines()]
    assert [entry["step"] for entry in entries] == [7, 9, 40, 2**40, None]
