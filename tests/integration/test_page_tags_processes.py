"""Who looks at W&B's pages is a process of its own: what dies comes back, what hangs is ended."""

import functools
import os
import signal
import sys
import time

import pytest
from served import alive, children, named, wait_for

from control_api.lease import TAGS_LEASE
from control_api.lifecycle import get_run
from control_api.tables import LeaseRow

# Takes requests and answers none.
SILENT = (sys.executable, "-c", "import sys; sys.stdin.read()")


@pytest.fixture
def serve(serve):
    return functools.partial(serve, changes={"page_command": SILENT})


def put_on_a_page(served, database):
    run_id = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    with database.writing() as session:
        url = f"https://wandb.example/lab/digits/runs/{run_id}"
        get_run(session, run_id, for_change=True).tracking = {"mode": "online", "url": url}


def asker(served):
    """The bridge and the process that talks to W&B, once it is asked something."""
    bridge = served.child("midcourse-tags")
    return bridge, wait_for(lambda: children(bridge), bool)[0]


def test_what_is_killed_comes_back_with_its_lease_and_a_hanging_answer_delays_no_end(
    serve, database
):
    served = serve(MIDCOURSE_TAG_VERBS="pause")
    put_on_a_page(served, database)
    bridge, talker = asker(served)
    with database.reading() as session:
        first = session.get_one(LeaseRow, TAGS_LEASE).holder
    os.kill(bridge, signal.SIGKILL)
    wait_for(lambda: alive(talker), lambda lives: not lives)
    again, talker = asker(served)
    assert again != bridge
    with database.reading() as session:
        assert session.get_one(LeaseRow, TAGS_LEASE).holder == first
    began = time.monotonic()
    assert served.end() == 0
    assert time.monotonic() - began < 10
    assert not alive(talker)
    with database.reading() as session:
        assert session.get(LeaseRow, TAGS_LEASE) is None


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [((), {}), (("--no-reconciler",), {"MIDCOURSE_TAG_VERBS": "pause"})],
    ids=["off", "only the web server"],
)
def test_nobody_looks_where_nobody_should(serve, arguments, environ):
    served = serve(*arguments, **environ)
    served.child("midcourse-web")
    assert not named(served.process.pid, "midcourse-tags")
    assert served.end() == 0
