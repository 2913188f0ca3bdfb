"""The process that talks to W&B, with the real SDK, against the stand-in server."""

import os
import sys
from pathlib import Path

import pytest
from wandb_server.runs import Run

from control_api.page_tags.sdk_process import PagesClosed, PagesTroubled, SdkProcess
from midcourse.contract.pages import LookAtPages, MarkPage, Place

ROOT = Path(__file__).parents[2]
KEY = "planted0123456789" * 4
PLACE = Place(entity="lab", project="digits")
PROGRAM = (sys.executable, "-m", "midcourse.tracking.page")


@pytest.fixture
def start(server):
    started = []

    def start(*, key=KEY, seconds=60.0, program=PROGRAM):
        inherited = {name: said for name, said in os.environ.items() if "WANDB" not in name}
        environ = inherited | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": key}
        started.append(SdkProcess(program, ROOT, environ, seconds))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def pages(start):
    return start()


@pytest.fixture
def put(server):
    """Has runs with tags on the server."""

    def put(*run_ids, tags=("baseline",), entity="lab", owner="olga"):
        server.store.make_project(entity, "digits")
        for run_id in run_ids:
            run = Run(entity, "digits", run_id, server.store.clock, owner)
            run.tags = list(tags)
            server.store.runs[entity, "digits", run_id] = run
        return server.run(run_ids[-1])

    return put


def look(pages, *run_ids, place=PLACE):
    seen = pages.look(LookAtPages(place=place, runs=list(run_ids))).pages
    return {page.run: (page.tags, page.owner) for page in seen}


def mark(pages, run_id="r1", *, remove=("mc:pause",), add="mc:done:pause#1", note=None):
    request = MarkPage(place=PLACE, run=run_id, remove=list(remove), add=add, note=note)
    return pages.mark(request).tags


def test_tags_are_seen_and_each_look_is_a_fresh_one(pages, put):
    run = put("r1", "r2", "r3")
    put("other")
    assert look(pages, "r1", "r3", "gone") == {
        "r1": (["baseline"], None),
        "r3": (["baseline"], None),
    }
    run.tags.append("mc:pause")
    assert look(pages, "r3") == {"r3": (["baseline", "mc:pause"], None)}


def test_the_owner_is_known_where_the_project_is_a_persons(pages, put):
    put("r1", entity="olga")
    assert look(pages, "r1", place=Place(entity="olga", project="digits")) == {
        "r1": (["baseline"], "olga")
    }


def test_many_runs_cost_few_requests(pages, put, server):
    run_ids = [f"r{number}" for number in range(450)]
    put(*run_ids)
    assert sorted(look(pages, *run_ids)) == sorted(run_ids)
    assert server.operations.count("Runs") == 3


def test_a_mark_changes_tags_and_notes_and_nothing_else(pages, put, server):
    run = put("r1", tags=["baseline", "mc:pause", "noisy"])
    run.set_config('{"lr": {"value": 1}}')
    run.notes, run.display_name, run.summary = "mine", "slow", {"loss": 1}
    assert mark(pages, note="a line") == ["baseline", "mc:done:pause#1", "noisy"]
    assert run.tags == ["baseline", "mc:done:pause#1", "noisy"]
    assert run.notes == "mine\na line"
    [sent] = server.variables("UpsertBucket")
    assert set(sent) == {"id", "tags", "notes"}
    assert (run.config, run.display_name, run.summary) == ({"lr": 1}, "slow", {"loss": 1})


def test_a_mark_that_stands_there_is_not_made_again(pages, put, server):
    run = put("r1", tags=["mc:pause"])
    for _ in range(3):
        mark(pages, note="a line")
    assert run.notes == "a line"
    assert server.operations.count("UpsertBucket") == 1


def test_a_mark_keeps_what_people_added_since_the_look(pages, put):
    run = put("r1", tags=["mc:pause"])
    look(pages, "r1")
    run.tags, run.notes = ["mine", "mc:pause", "yours"], "hm"
    mark(pages, note="a line")
    assert run.tags == ["mine", "mc:done:pause#1", "yours"]
    assert run.notes == "hm\na line"


def test_tags_that_no_line_can_hold_are_left_where_they_are(pages, put):
    run = put("r1", tags=["mc:\0", "\ud800", "mc:pause", "ü 😀"])
    assert look(pages, "r1")["r1"][0] == ["mc:pause", "ü 😀"]
    mark(pages)
    assert len(run.tags) == 4
    assert run.tags[0] == "mc:\0"


FAULTS = [
    ({"status": 500}, "away"),
    ({"status": 503}, "away"),
    ({"reset": True}, "away"),
    ({"status": 429}, "too-many-requests"),
    ({"status": 401}, "key-refused"),
    ({"status": 403}, "refused"),
    ({"status": 404}, "refused"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS, ids=[str(fault) for fault, _ in FAULTS])
def test_what_goes_wrong_is_told_and_over_when_it_is(pages, put, server, fault, why):
    put("r1", tags=["mc:pause"])
    look(pages, "r1")
    fault = server.faults.add("graphql", **fault)
    with pytest.raises(PagesTroubled) as raised:
        look(pages, "r1")
    assert raised.value.why == why
    with pytest.raises(PagesTroubled) as raised:
        mark(pages)
    assert raised.value.why == why
    assert KEY not in str(raised.value)
    fault.lift()
    assert mark(pages) == ["mc:done:pause#1"]


def test_a_server_that_is_gone_and_comes_back(start, put, server):
    put("r1")
    server.stop()
    pages = start()
    with pytest.raises(PagesTroubled) as raised:
        look(pages, "r1")
    assert raised.value.why == "away"
    server.start()
    assert look(pages, "r1")


def test_a_mark_whose_answer_is_lost_is_the_same_mark_when_it_is_made_again(pages, put, server):
    run = put("r1", tags=["mc:pause"])
    server.faults.add("UpsertBucket", reset=True, carried_out=True, count=2)
    with pytest.raises(PagesTroubled):
        mark(pages, note="a line")
    assert mark(pages, note="a line") == ["mc:done:pause#1"]
    assert run.notes == "a line"


def test_who_does_not_answer_is_killed_and_another_is_started(start, put, server):
    put("r1")
    pages = start(seconds=8.0)
    look(pages, "r1")
    first = pages._process.pid
    fault = server.faults.add("graphql", hang=True)
    with pytest.raises(PagesTroubled, match="has not answered in 8 s"):
        look(pages, "r1")
    fault.lift()
    assert not Path(f"/proc/{first}").exists()
    assert look(pages, "r1")


@pytest.mark.parametrize(
    ("run_id", "place"), [("gone", PLACE), ("r1", Place(entity="x", project="y"))]
)
def test_a_page_that_is_not_there(pages, put, run_id, place):
    put("r1")
    with pytest.raises(PagesTroubled) as raised:
        pages.mark(MarkPage(place=place, run=run_id, remove=[], add="x"))
    assert raised.value.why == "refused"


def test_what_the_server_itself_refuses_is_no_outage(pages, put, server, monkeypatch):
    put("r1", tags=["mc:pause"])
    look(pages, "r1")
    refused = {"data": None, "errors": [{"message": "permission denied"}]}
    monkeypatch.setattr(server, "execute", lambda *_: refused)
    with pytest.raises(PagesTroubled, match="permission denied") as raised:
        mark(pages)
    assert raised.value.why == "refused"


def test_a_project_that_cannot_be_seen(pages, put):
    put("r1")
    with pytest.raises(PagesTroubled) as raised:
        look(pages, "r1", place=Place(entity="lab", project="unknown"))
    assert raised.value.why == "refused"


@pytest.mark.parametrize("key", ["", KEY], ids=["none", "refused"])
def test_a_key_that_is_no_good_is_asked_for_again(start, put, server, key):
    put("r1")
    server.refused_keys.add(KEY)
    pages = start(key=key)
    with pytest.raises(PagesTroubled) as raised:
        look(pages, "r1")
    assert raised.value.why == "key-refused"
    assert KEY not in str(raised.value)
    assert pages._process is None, "another one reads the key anew"
    server.refused_keys.clear()
    pages._environ["WANDB_API_KEY"] = KEY
    assert look(pages, "r1")


def test_the_key_is_in_no_argument(pages, put):
    put("r1")
    look(pages, "r1")
    shown = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if is_ours(path)]
    assert len(shown) > 2
    assert not any(KEY.encode() in arguments for arguments in shown)


def is_ours(path):
    try:
        return path.stat().st_uid == os.getuid() and bool(path.read_bytes())
    except OSError:
        return False


TALKERS = {
    "ends": "pass",
    "garbage": "import sys; sys.stdin.readline(); print('nonsense', flush=True); sys.stdin.read()",
    "another's answer": (
        'import sys; sys.stdin.readline(); print(\'{"kind": "marked", "tags": []}\', flush=True)'
    ),
    "half a line": "import sys; sys.stdin.readline(); sys.stdout.write('{'); sys.stdout.flush()",
}


@pytest.mark.parametrize("program", TALKERS.values(), ids=TALKERS)
def test_whatever_the_process_does_is_an_outage(start, program):
    pages = start(program=(sys.executable, "-c", program))
    for _ in range(2):
        with pytest.raises(PagesTroubled, match="the process that talks to W&B") as raised:
            look(pages, "r1")
        assert raised.value.why == "away"


def test_a_program_that_is_not_there_is_an_outage(start):
    with pytest.raises(PagesTroubled, match="cannot be spoken to: No such file"):
        look(start(program=("/no/such/program",)), "r1")


def test_nothing_is_left_of_what_the_sdk_wrote(pages, put, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    put("r1")
    look(pages, "r1")
    assert list(tmp_path.rglob("*")) != []
    pages.close()
    assert list(tmp_path.iterdir()) == []


def test_once_closed_nobody_is_asked(pages):
    pages.close()
    with pytest.raises(PagesClosed):
        look(pages, "r1")
