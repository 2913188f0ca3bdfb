"""Events are read off the rows that a transaction changes: what is told, and what is not."""

from contextlib import suppress

import pytest
from databases import database_url
from sqlalchemy import select, update

from control_api.columns import Desired
from control_api.database import Database
from control_api.tables import CheckpointRow, CommandRow, EventRow, RunRow
from midcourse.contract.base import utc_now
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus


@pytest.fixture
def database(tmp_path):
    database = Database(database_url(tmp_path))
    yield database
    database.close()


@pytest.fixture
def run(database):
    with database.writing() as session:
        session.add(row("ra"))
    told(database)
    return "ra"


def row(run_id, **columns):
    return RunRow(
        id=run_id, experiment="e", config={}, created_by="admin", created_at=utc_now(), **columns
    )


def command(run_id, seq=1):
    return CommandRow(
        run_id=run_id, seq=seq, action={"kind": "pause"}, actor="admin", accepted_at=utc_now()
    )


def told(database):
    """Kind, run and details of the events since the last call."""
    with database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.id)).all()
    seen = getattr(database, "seen", 0)
    database.seen = rows[-1].id if rows else 0
    return [(each.kind, each.run_id, each.data) for each in rows if each.id > seen]


def test_a_new_run_is_told_once_with_what_it_is(database):
    with database.writing() as session:
        session.add(row("ra"))
        session.flush()
        session.add(row("rb", parent_id="ra"))
    assert told(database) == [
        ("run.created", "ra", {"experiment": "e", "parent": None}),
        ("run.created", "rb", {"experiment": "e", "parent": "ra"}),
    ]


def test_all_that_changed_is_told_however_many_statements_it_took(database, run):
    with database.writing() as session:
        found = session.get(RunRow, run)
        found.status, found.step, found.tags = RunStatus.RUNNING, 3, ["a"]
        session.flush()
        found.step, found.notes, found.slot = 4, "look", "cpu-0"
        session.flush()
        found.desired, found.revision = Desired.STOPPED, 2
        session.add(command(run))
    assert told(database) == [
        ("run.status", run, {"status": "running", "step": 4}),
        ("run.desired", run, {"desired": "stopped"}),
        ("run.params", run, {"revision": 2}),
        ("run.changed", run, {"fields": ["notes", "tags", "slot"]}),
        ("command", run, {"seq": 1, "kind": "pause", "state": "accepted", "step": None}),
    ]


def test_what_was_changed_back_is_not_told(database, run):
    with database.writing() as session:
        found = session.get(RunRow, run)
        before = found.status
        found.status, found.notes = RunStatus.RUNNING, "a"
        session.flush()
        found.status, found.notes = before, "b"
    assert told(database) == [("run.changed", run, {"fields": ["notes"]})]


def test_a_value_set_again_is_no_change(database, run):
    with database.writing() as session:
        found = session.get(RunRow, run)
        found.status, found.desired = found.status, found.desired
        found.step, found.log_offset = 5, 100  # nobody asked to hear of these
    assert told(database) == []


def test_a_command_that_ends_as_it_is_made_is_told_as_it_is(database, run):
    with database.writing() as session:
        made = command(run)
        session.add(made)
        session.flush()
        made.state = CommandState.EXPIRED
    assert told(database) == [
        ("command", run, {"seq": 1, "kind": "pause", "state": "expired", "step": None})
    ]


def test_a_checkpoint_is_told_when_it_comes_and_when_it_goes(database, run):
    with database.writing() as session:
        session.add(CheckpointRow(run_id=run, name="step-9", step=9, best=False, record={}))
    with database.writing() as session:
        session.get(CheckpointRow, (run, "step-9")).deleted_at = utc_now()
    details = {"name": "step-9", "step": 9}
    assert told(database) == [
        ("checkpoint.written", run, details),
        ("checkpoint.deleted", run, details),
    ]


def test_what_did_not_happen_is_not_told(database, run):
    with suppress(ZeroDivisionError), database.writing() as session:
        session.get(RunRow, run).status = RunStatus.RUNNING
        session.flush()
        raise ZeroDivisionError
    assert told(database) == []


def test_what_a_savepoint_took_back_is_not_told(database, run):
    with database.writing() as session:
        found = session.get(RunRow, run)
        found.notes = "kept"
        session.flush()
        with suppress(ZeroDivisionError), session.begin_nested():
            found.status, found.notes = RunStatus.FAILED, "not kept"
            session.add(row("rb"))
            session.flush()
            raise ZeroDivisionError
        session.add(row("rc"))
    assert told(database) == [
        ("run.changed", run, {"fields": ["notes"]}),
        ("run.created", "rc", {"experiment": "e", "parent": None}),
    ]


def test_a_row_that_the_session_has_forgotten_is_told_all_the_same(database, run):
    with database.writing() as session:
        found = session.get(RunRow, run)
        found.status = RunStatus.RUNNING
        session.flush()
        found.step = 7
        session.expunge(found)  # as where progress is written for many runs at once
    assert told(database) == [("run.status", run, {"status": "running", "step": 7})]


def test_a_statement_that_would_tell_nobody_is_a_mistake(database, run):
    with (
        pytest.raises(AssertionError, match="a statement over RunRow would tell nobody"),
        database.writing() as session,
    ):
        session.execute(update(RunRow).values(status=RunStatus.FAILED))
    with database.writing() as session:
        session.execute(update(RunRow).values(heartbeat_at=utc_now()))  # is told to nobody anyway
    assert told(database) == []


def test_those_who_wait_for_a_run_are_woken_and_no_others(database, run):
    heard = [database.bell.count(key) for key in ("run:ra", "run:rb", "events", "reconciler")]
    with database.writing() as session:
        session.get(RunRow, run).notes = "look"
    rung = [database.bell.count(key) for key in ("run:ra", "run:rb", "events", "reconciler")]
    assert [after - before for before, after in zip(heard, rung, strict=True)] == [1, 0, 1, 1]
