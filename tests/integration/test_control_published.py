"""`/experiments/{name}/report`: pages are published by a process, and again when runs end."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import shown_runs
from control_bench import Bench, status
from wandb_server.server import wandb_server

from control_api import published
from control_api.bell import Bell
from control_api.database import Database
from control_api.reconciler import Reconciler

LINK = {"title": "default: the runs compared", "url": "https://w.example/us/p/reports/x--Vm"}
WORKS = f"import json; print(json.dumps({{'links': [{LINK!r}], 'notes': ['a note']}}))"
LIMIT = 60


@pytest.fixture
def make(tmp_path):
    """Makes benches whose publisher runs some code; gives each what it was given and to be."""
    benches = []

    def make(code=WORKS, key="k" * 40, **changes):
        bench = Bench(
            tmp_path,
            publisher_command=(sys.executable, "-c", code),
            helper_environment={"WANDB_API_KEY": key} if key else {},
            **changes,
        )
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.reconciler.publisher.close()
        bench.close()


def address(bench, name=None):
    """Of the report of the experiment that the newest run is of."""
    return f"/experiments/{name or bench.get('/runs')['runs'][0]['experiment']}/report"


def end(bench, trainer):
    """The run is finished, as its trainer says."""
    trainer.say(status("finished").model_copy(update={"at": bench.clock}))
    assert bench.get(f"/runs/{trainer.run}")["status"] == "finished"


def rounds_until(bench, state):
    deadline = time.monotonic() + LIMIT
    while (view := bench.get(address(bench)))["state"] != state:
        assert time.monotonic() < deadline, view
        bench.round(later=0.1)
        time.sleep(0.02)
    return view


def test_pages_are_published_and_the_links_are_told(make):
    bench = make()
    bench.submit()
    path = address(bench)
    assert bench.ask("GET", path).json["type"] == "/problems/unknown-report"
    answer = bench.ask("POST", path)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1{path}")
    assert (answer.json["state"], answer.json["links"]) == ("pending", [])
    view = rounds_until(bench, "published")
    assert (view["links"], view["notes"], view["error"]) == ([LINK], ["a note"], None)
    assert view["asked_by"] == bench.get("/whoami")["name"]
    lines = bench.get("/audit")["entries"]
    assert [(x["action"], x["subject"]) for x in lines if x["action"] == "publish_report"] == [
        ("publish_report", view["experiment"])
    ]


@pytest.mark.only_on("sqlite")
def test_the_publisher_itself_publishes(tmp_path):
    shown_runs.put_experiment(tmp_path)
    with wandb_server() as server:
        server.store.make_project("us", "midcourse")
        environ = {"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": server.url}
        bench = Bench(tmp_path, helper_environment=environ)
        bench.post("/runs", {"config": {}, "experiment": "digits"}, expect=201)
        bench.post("/experiments/digits/report", expect=202)
        links = rounds_until(bench, "published")["links"]
        assert len(links) == len(server.views) == 6
        assert links[0]["title"] == "Midcourse: digits"
        server.refused_keys.add("k" * 40)
        bench.post("/experiments/digits/report", expect=202)
        view = rounds_until(bench, "failed")
        assert "refuses the key: check WANDB_API_KEY" in view["error"]
        assert view["links"] == links, "those of the last time"
        bench.close()


def test_the_process_is_told_the_experiment_and_the_home_and_has_the_key(make, tmp_path):
    note = tmp_path / "told"
    code = f"""
import json, os, sys
with open({str(note)!r}, 'w') as file: json.dump([sys.argv[1:], dict(os.environ)], file)
{WORKS}"""
    bench = make(code)
    bench.submit()
    bench.post(address(bench), expect=202)
    view = rounds_until(bench, "published")
    arguments, environ = json.loads(note.read_text())
    assert arguments == [
        view["experiment"],
        "--json",
        "--end-with-input",
        "--home",
        str(bench.home),
    ]
    assert environ["WANDB_API_KEY"] == "k" * 40


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.exit('W&B refuses the key')", "W&B refuses the key"),
        ("raise ValueError('odd')", "the publisher ended with 1: ValueError: odd"),
        ("print('no JSON')", "the publisher ended with 0: it said nothing"),
    ],
)
def test_why_nothing_was_published_is_told(make, code, error):
    bench = make(code)
    bench.submit()
    bench.post(address(bench), expect=202)
    assert rounds_until(bench, "failed")["error"] == error


def test_one_that_takes_too_long_is_ended(make):
    bench = make("import time; time.sleep(1000)", publisher_seconds=5)
    bench.submit()
    bench.post(address(bench), expect=202)
    rounds_until(bench, "publishing")
    work = bench.reconciler.publisher._work
    bench.round(later=6)
    assert bench.get(address(bench))["error"] == "W&B took longer than 5 seconds"
    assert work.process.returncode == -9


def test_one_that_cannot_be_started_is_told(make):
    bench = make()
    bench.reconciler.publisher._settings = bench.settings.__class__(
        home=bench.home,
        wandb=replace(bench.settings.wandb, publisher_command=("/nowhere/python",)),
    )
    bench.submit()
    bench.post(address(bench), expect=202)
    assert "could not be started" in rounds_until(bench, "failed")["error"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "by another process"])
def test_whoever_waits_gets_the_links_or_the_reason(make, elsewhere):
    bench = make()
    bench.submit()
    path, answers = address(bench), []
    if elsewhere:  # whose bell does not ring here
        theirs = Database(bench.settings.database_url, Bell())
        bench.database.bell._look_seconds = 1000
        bench.reconciler = Reconciler(
            bench.settings, theirs, bench.launcher, now=lambda: bench.clock
        )

    def ask():
        answers.append(bench.ask("POST", path, headers={"Prefer": f"wait={LIMIT}"}))

    waiter = threading.Thread(target=ask)
    waiter.start()
    deadline = time.monotonic() + LIMIT
    while waiter.is_alive() and time.monotonic() < deadline:
        bench.round(later=0.1)
        time.sleep(0.02)
    waiter.join(LIMIT)
    assert (answers[0].status_code, answers[0].json["links"]) == (200, [LINK])
    assert time.monotonic() < deadline - LIMIT / 2
    if elsewhere:
        theirs.close()


@pytest.mark.only_on("postgresql")  # SQLite has one writer at a time
def test_two_that_ask_first_at_once_are_both_heard(make):
    bench = make()
    bench.submit()
    name = bench.get("/runs")["runs"][0]["experiment"]
    with ThreadPoolExecutor(1) as threads:
        with bench.database.writing() as session:
            assert published.ask(session, name, "one", bench.clock) == 1
            answer = threads.submit(bench.ask, "POST", address(bench))
            time.sleep(0.3)  # until it waits for us; a little less tests less
            assert not answer.done()
        assert answer.result(LIMIT).status_code == 202
    with bench.database.reading() as session:
        assert published.find(session, name).asked == 2


def test_what_is_asked_for_meanwhile_is_done_afterwards(make, tmp_path):
    times, gate = tmp_path / "times", tmp_path / "gate"
    code = f"""
import pathlib, time
with open({str(times)!r}, 'a') as file: file.write('x')
while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)
{WORKS}"""
    bench = make(code)
    bench.submit()
    path = address(bench)
    bench.post(path, expect=202)
    rounds_until(bench, "publishing")
    assert bench.post(path, expect=202)["state"] == "publishing"
    assert bench.post(path, expect=202)["state"] == "publishing"
    gate.touch()
    rounds_until(bench, "published")
    assert times.read_text() == "xx"


def test_a_reconciler_publishes_what_one_before_it_had_begun(make):
    bench = make("import time; time.sleep(1000)")
    bench.submit()
    bench.post(address(bench), expect=202)
    rounds_until(bench, "publishing")
    bench.reconciler.stop()
    object.__setattr__(bench.settings.wandb, "publisher_command", (sys.executable, "-c", WORKS))
    bench.reconciler = Reconciler(
        bench.settings, bench.database, bench.launcher, now=lambda: bench.clock
    )
    assert rounds_until(bench, "published")["links"] == [LINK]


def test_pages_are_published_again_when_runs_have_ended(make, tmp_path):
    times = tmp_path / "times"
    bench = make(f"""
with open({str(times)!r}, 'a') as file: file.write('x')
{WORKS}""")
    trainer = bench.submit()
    trainer.say(trainer.started())
    bench.post(address(bench), expect=202)
    rounds_until(bench, "published")
    bench.round(later=1000)
    assert times.read_text() == "x", "nothing has ended"
    end(bench, trainer)
    bench.round(later=20)
    assert bench.get(address(bench))["state"] == "published", "its tracker still sends"
    bench.round(later=20)
    assert bench.get(address(bench))["asked_by"] == "midcourse"
    rounds_until(bench, "published")
    assert times.read_text() == "xx"
    bench.round(later=1000)
    assert times.read_text() == "xx"


def test_a_refresh_that_fails_is_tried_again_less_and_less_often(make, tmp_path):
    times, broken = tmp_path / "times", tmp_path / "broken"
    bench = make(f"""
import pathlib, sys
with open({str(times)!r}, 'a') as file: file.write('x')
if pathlib.Path({str(broken)!r}).exists(): sys.exit('W&B is away')
{WORKS}""")
    trainer = bench.submit()
    trainer.say(trainer.started())
    bench.post(address(bench), expect=202)
    rounds_until(bench, "published")
    broken.touch()
    bench.round(later=1)
    end(bench, trainer)
    bench.round(later=31)
    rounds_until(bench, "failed")
    for pause, tries in ((30, 2), (31, 3), (60, 3), (80, 4)):
        bench.round(later=pause)
        while bench.get(address(bench))["state"] != "failed":
            bench.round()
            time.sleep(0.02)
        assert times.read_text() == "x" * tries
    broken.unlink()
    bench.round(later=3600)
    assert rounds_until(bench, "published")["error"] is None
    bench.round(later=3600)
    assert times.read_text() == "x" * 5


def test_a_refresh_does_not_fail_for_ever(make, tmp_path):
    times = tmp_path / "times"
    bench = make()
    trainer = bench.submit()
    trainer.say(trainer.started())
    bench.post(address(bench), expect=202)
    rounds_until(bench, "published")
    bench.round(later=1)
    end(bench, trainer)
    code = f"""
import sys
with open({str(times)!r}, 'a') as file: file.write('x')
sys.exit('the key was revoked')"""
    object.__setattr__(bench.settings.wandb, "publisher_command", (sys.executable, "-c", code))
    bench.round(later=100_000)  # nobody looked for more than a day
    rounds_until(bench, "failed")
    for _ in range(5):
        bench.round(later=7200)
    assert times.read_text() == "x"


def test_who_loses_the_lease_leaves_the_pages_to_the_next(make):
    bench = make("import time; time.sleep(1000)")
    bench.submit()
    bench.post(address(bench), expect=202)
    rounds_until(bench, "publishing")
    slow, work = bench.reconciler, bench.reconciler.publisher._work
    bench.reconciler = Reconciler(
        bench.settings, bench.database, bench.launcher, now=lambda: bench.clock
    )
    object.__setattr__(bench.settings.wandb, "publisher_command", (sys.executable, "-c", WORKS))
    bench.round(later=bench.settings.lease_seconds + 1)
    slow.reconcile()
    assert work.process.returncode == -9
    assert rounds_until(bench, "published")["links"] == [LINK]


def test_a_publisher_ends_with_whoever_started_it(make):
    bench = make("import sys; sys.stdin.read()")
    bench.submit()
    bench.post(address(bench), expect=202)
    rounds_until(bench, "publishing")
    work = bench.reconciler.publisher._work
    assert work.process.poll() is None
    work.process.stdin.close()  # as the end of our process would
    assert work.process.wait(LIMIT) == 0


def test_an_experiment_that_was_never_published_is_left_alone(make):
    bench = make()
    trainer = bench.submit()
    trainer.say(trainer.started())
    end(bench, trainer)
    bench.round(later=100)
    assert bench.ask("GET", address(bench)).status_code == 404


def test_without_a_key_it_is_said_what_to_do(make):
    bench = make(key="")
    bench.submit()
    answer = bench.ask("POST", address(bench))
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/no-wandb-key")
    assert "WANDB_API_KEY" in answer.json["detail"]
    assert "--html FILE" in answer.json["detail"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_experiment_without_runs_has_no_pages(make, method):
    answer = make().ask(method, "/experiments/none/report")
    assert (answer.status_code, answer.json["type"]) == (404, "/problems/unknown-experiment")
