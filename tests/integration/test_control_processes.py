"""The control API's processes: what dies comes back, what should end ends, nothing is lost."""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
from served import alive, children, free_port, parent, wait_for, zombies

from control_api.attempts import begin_attempt
from control_api.lifecycle import get_run
from control_api.tables import AttemptRow, LeaseRow
from control_api.tokens import give_trainer_token
from midcourse.contract.base import utc_now

# The trainer's own way to end: with the exit code that a file beside its log says.
ENDS_AS_TOLD = """
import os, pathlib, time
folder = pathlib.Path(os.environ["MIDCOURSE_HOME"]) / "runs" / os.environ["MIDCOURSE_RUN_ID"]
(folder / "begun").touch()
while not (folder / "code").exists():
    time.sleep(0.02)
raise SystemExit(int((folder / "code").read_text()))
"""


def submit(served):
    answer = served.ask("POST", "/runs", json={"config": {}})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def attempt_of(database, run, number=1):
    with database.reading() as session:
        return session.get(AttemptRow, (run, number))


def trainer_of(database, run, number=1):
    """The process of an attempt, once it is there."""
    found = wait_for(lambda: attempt_of(database, run, number), lambda row: row and row.handle)
    return found.handle["pid"]


def holder(database):
    """Who is the reconciler; None where nobody is."""
    with database.reading() as session:
        row = session.get(LeaseRow, "reconciler")
    return None if row is None else row.holder


def requests_taken(port):
    """How many connections to a port the server has accepted, and read what came by them."""
    taken = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, _, _, _, _, inode, *_ = line.split()
        if local.endswith(f":{port:04X}") and state == "01":
            taken += inode != "0" and queues.endswith(":00000000")
    return taken


def test_what_is_killed_comes_back_and_the_port_is_never_lost(serve, database):
    served = serve(MIDCOURSE_WORKERS="2")
    web, reconciler = served.child("midcourse-web"), served.child("midcourse-reconciler")
    first = wait_for(lambda: holder(database), bool)
    workers = wait_for(lambda: children(web), lambda seen: len(seen) == 2)
    os.kill(workers[0], signal.SIGKILL)
    assert served.ask("GET", "/runs").status_code == 200
    wait_for(lambda: children(web), lambda seen: len(seen) == 2 and workers[0] not in seen)
    os.kill(web, signal.SIGKILL)
    os.kill(reconciler, signal.SIGKILL)
    # Who asks now is heard by a worker that is about to end, or waits: the port stays open.
    assert served.ask("GET", "/runs").status_code == 200
    wait_for(lambda: [each for each in [web, *workers] if alive(each)], lambda left: not left)
    assert served.ask("GET", "/runs").status_code == 200
    assert served.child("midcourse-web") != web
    trainer_of(database, submit(served))
    assert holder(database) == first, "it waited for the lease of its own predecessor"
    assert served.end() == 0
    assert holder(database) is None


def test_who_came_in_just_before_the_end_is_still_heard(serve):
    """As when the web server's master dies: its workers end in order, and others take its place."""
    served = serve(MIDCOURSE_WORKERS="1")
    web = served.child("midcourse-web")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as came:
        assert requests.get(f"{served.url}/healthz", timeout=30).ok  # so it was let in before
        os.kill(web, signal.SIGKILL)
        wait_for(lambda: alive(web), lambda lives: not lives)
        came.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert came.recv(64).startswith(b"HTTP/1.1 200 OK")
    assert served.end() == 0


def test_without_its_supervisor_nothing_keeps_the_port_but_trainers_go_on(serve, database):
    served = serve(MIDCOURSE_WORKERS="2")
    trainer = trainer_of(database, submit(served))
    web = served.child("midcourse-web")
    ours = [web, *served.workers(), served.child("midcourse-reconciler")]
    os.kill(served.process.pid, signal.SIGKILL)
    wait_for(lambda: [each for each in ours if alive(each)], lambda left: not left, 10)
    with socket.create_server(("127.0.0.1", served.port)):
        pass
    assert holder(database) is None  # given back: another may begin at once
    assert alive(trainer)


@pytest.mark.parametrize("of_group", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_hundreds_who_wait_are_let_go_with_an_answer(serve, database, of_group):
    """A long-poll of a trainer each; what was asked before the end is answered."""
    served = serve(MIDCOURSE_WORKERS="1")
    run = submit(served)
    trainer_of(database, run)
    with database.writing() as session:
        token = give_trainer_token(session, [run])
    path = f"/api/v1/runs/{run}/link/commands?attempt=1&wait=60"
    with ExitStack() as stack:
        waiting = [HTTPConnection("127.0.0.1", served.port, timeout=60) for _ in range(200)]
        for each in waiting:
            stack.callback(each.close)
            each.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        wait_for(lambda: requests_taken(served.port), lambda count: count >= 200)
        began = time.monotonic()
        if of_group:
            os.killpg(served.process.pid, signal.SIGINT)
        else:
            served.process.terminate()
        assert served.process.wait(30) == 0
        assert time.monotonic() - began < 10
        for each in waiting:
            said = (served.home.parent / "api.log").read_text()[-3000:]
            assert json.load(each.getresponse()) == {"commands": []}, said


def test_who_waits_for_the_database_keeps_nobody_of_its_worker_waiting(serve, database):
    served = serve(MIDCOURSE_WORKERS="1", MIDCOURSE_SLOTS="none")
    run = submit(served)
    with ThreadPoolExecutor(1) as threads:
        with database.writing() as session:
            get_run(session, run, for_change=True)
            tagged = threads.submit(served.ask, "PATCH", f"/runs/{run}", json={"tags": ["kept"]})
            wait_for(lambda: requests_taken(served.port), bool)
            for _ in range(20):
                assert served.ask("GET", f"/runs/{run}").json()["tags"] == []
            assert not tagged.done()
        assert tagged.result(30).status_code == 200
    assert served.ask("GET", f"/runs/{run}").json()["tags"] == ["kept"]


def test_an_answer_under_way_is_finished(serve, database):
    served = serve()
    run = submit(served)
    answers = []
    slow = threading.Thread(
        target=lambda: answers.append(
            served.ask("POST", f"/runs/{run}/pause", headers={"Prefer": "wait=60"})
        )
    )
    slow.start()
    wait_for(lambda: served.ask("GET", f"/runs/{run}/commands").json()["commands"], bool)
    assert served.end() == 0
    slow.join()
    assert answers[0].status_code == 202
    assert answers[0].json()["state"] in ("accepted", "delivered")


@pytest.mark.parametrize(("code", "told"), [(3, "with exit code 3"), (143, "with exit code 143")])
def test_the_exit_code_of_a_trainer_outlives_its_reconciler(serve, database, code, told):
    served = serve(trainer=ENDS_AS_TOLD)
    run = submit(served)
    trainer = trainer_of(database, run)
    os.kill(served.child("midcourse-reconciler"), signal.SIGKILL)
    wait_for(lambda: parent(trainer), lambda found: found == served.process.pid)
    (served.home / "runs" / run / "code").write_text(str(code))
    ended = wait_for(lambda: attempt_of(database, run), lambda row: row.ended_at is not None)
    assert (ended.exit_code, ended.reason) == (code, told)
    assert zombies(served.process.pid) == []


def test_the_reconciler_may_live_elsewhere(serve, database):
    served = serve("--no-reconciler")
    run = submit(served)
    assert attempt_of(database, run) is None
    serve("reconcile", answers=False, port=served.port)
    trainer_of(database, run)


def test_several_servers_share_one_database(serve, database):
    """What one accepts another tells of at once; one reconciler of the two starts the trainer."""
    one, other = serve(), serve(port=free_port())
    run = submit(one)
    with database.writing() as session:
        row = get_run(session, run, for_change=True)
        if not row.attempt:
            begin_attempt(session, row, "process", utc_now(), "cpu:0")
        token = give_trainer_token(session, [run])
        attempt = row.attempt
    url = f"{other.url}/api/v1/runs/{run}/link/commands?attempt={attempt}&wait=60"
    with ThreadPoolExecutor() as pool:
        headers = {"Authorization": f"Bearer {token}"}
        polled = pool.submit(requests.get, url, headers=headers, timeout=60)
        wait_for(lambda: polled.running(), bool)
        time.sleep(0.3)  # for it to wait; if it does not yet, the test still holds
        began = time.monotonic()
        assert one.ask("POST", f"/runs/{run}/pause").status_code == 202
        [command] = polled.result().json()["commands"]
    assert command["action"]["kind"] == "pause"
    assert time.monotonic() - began < 5, "it was found by looking, not by the events' tail"


def test_workers_count_requests_together(serve):
    """Whichever of them a monitor asks, and though one has died meanwhile."""
    served = serve(MIDCOURSE_WORKERS="3")
    wait_for(served.workers, lambda seen: len(seen) == 3)
    for _ in range(30):
        assert served.ask("GET", "/runs").status_code == 200
    os.kill(served.workers()[0], signal.SIGKILL)
    sample = 'midcourse_requests_total{endpoint="/api/v1/runs",method="GET",status="200"} 30.0'
    for _ in range(9):
        answer = requests.get(f"{served.url}/metrics", headers=served.headers, timeout=30)
        assert sample in answer.text.splitlines()
    assert requests.get(f"{served.url}/readyz", timeout=30).json()["status"] == "ready"
    assert served.end() == 0
