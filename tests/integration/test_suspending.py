"""A suspension makes room and leaves no trace: the run goes on to the same bits."""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from fake_api import TOKEN, Api
from steered import train
from tiny_run import command
from trainers import Trainers, logged_losses, receipts, records

from midcourse.contract.paths import RunPaths
from midcourse.contract.records import StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.errors import Interrupted, Suspended
from midcourse.restore import CheckpointStore
from midcourse.session import Session
from midcourse.tracking.supervisor import TrackerProcess

STEERING: dict[int, list[dict[str, Any]]] = {
    3: [{"kind": "set", "changes": {"optimizer.lr": 0.02, "noise": 0.3}}],
    5: [{"kind": "set", "changes": {"model.dropout": 0.4}, "at": {"step": 21}}],
    25: [{"kind": "set", "changes": {"optimizer.momentum": 0.5}}],
}
"""With a command that waits for its step through the suspension."""
SUSPEND = {"kind": "suspend"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MIDCOURSE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def unattended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run that was never suspended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        return train(tmp_path_factory.mktemp("unattended"), "r1", plan=STEERING)


@pytest.fixture
def trainers(tmp_path: Path) -> Iterator[Trainers]:
    made = Trainers(tmp_path, STEERING)
    yield made
    made.close()


def said(home: Path) -> list[RunStatus]:
    return [each.status for each in records(home, "r1") if isinstance(each, StatusChanged)]


SUSPENDING: dict[str, dict[int, list[dict[str, Any]]]] = {
    "between checkpoints": {12: [SUSPEND]},
    "where a checkpoint is": {13: [SUSPEND]},
    "right before a scheduled command": {20: [SUSPEND]},
    "while paused": {12: [{"kind": "pause"}, SUSPEND]},
    "while paused, where a checkpoint is": {13: [{"kind": "pause"}, SUSPEND]},
    "twice": {12: [SUSPEND], 26: [SUSPEND]},
}


@pytest.mark.parametrize("how", SUSPENDING)
def test_suspended_and_started_again_is_as_never_suspended(
    how: str, trainers: Trainers, unattended: dict[str, Any]
) -> None:
    plan = {**STEERING, **SUSPENDING[how]}
    for _ in range(2 if how == "twice" else 1):
        assert trainers.run(plan=plan) == 0
        assert not trainers.result.exists()
        assert said(trainers.folder)[-1] is RunStatus.SUSPENDED
    assert trainers.run(plan=plan) == 0
    assert said(trainers.folder)[-1] is RunStatus.FINISHED
    assert trainers.outcome()["hash"] == unattended["hash"]
    assert logged_losses(trainers.folder) == unattended["losses"]
    assert {state for state, *_ in receipts(trainers.folder).values()} == {"applied"}


@pytest.mark.parametrize("place", ["journalled", "captured", "concluded", "unwritten"])
@pytest.mark.parametrize("paused", [False, True])
def test_killed_while_it_makes_room(
    place: str, paused: bool, trainers: Trainers, unattended: dict[str, Any]
) -> None:
    """Whoever starts it again wants it to go on: it must not make room a second time."""
    first = [{"kind": "pause"}] if paused else []
    plan = {**STEERING, 13: [*first, SUSPEND, {"kind": "resume"}]}
    count = 4 if place == "captured" else 3 if paused else 2
    assert trainers.run(plan=plan, kill_at=f"{place}:{count}") == -signal.SIGKILL
    codes = [trainers.run(plan=plan)]
    if not trainers.result.exists():  # it was killed before it came to the suspension
        assert RunStatus.SUSPENDED in said(trainers.folder)
        codes.append(trainers.run(plan=plan))
    assert set(codes) == {0}
    assert trainers.outcome()["hash"] == unattended["hash"]
    assert logged_losses(trainers.folder) == unattended["losses"]
    state = receipts(trainers.folder)[4 if paused else 3][0]
    assert state == ("failed" if place in ("journalled", "unwritten") else "applied")


def test_the_checkpoint_is_on_the_disk_before_anyone_is_told(tmp_path: Path) -> None:
    with pytest.raises(Suspended) as left:
        tiny_run.train(tmp_path, commands={3: [command(1, "suspend"), command(2, "pause")]})
    assert isinstance(left.value, Interrupted)
    assert left.value.code == 0
    receipt = tiny_run.receipts(tmp_path)[1]
    assert (receipt.state, receipt.step, receipt.before) == ("applied", 3, {"status": "running"})
    assert receipt.after["status"] == "suspended"
    _, tree = CheckpointStore(RunPaths(tmp_path, "r1")).load(receipt.after["checkpoint"])
    assert tree["next_step"] == 4
    assert 2 not in tiny_run.receipts(tmp_path), "what was asked for later waits"
    assert tiny_run.statuses(tmp_path) == ["suspended"]


@pytest.mark.parametrize(
    ("commands", "interrupts", "waits"),
    [
        pytest.param({3: [command(1, "suspend")]}, False, False, id="suspended"),
        pytest.param({}, True, False, id="interrupted"),
        pytest.param({}, False, True, id="finished"),
    ],
)
def test_room_is_made_before_the_tracker_has_sent_everything(
    commands: dict[int, Any],
    interrupts: bool,
    waits: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience: list[float] = []

    def finish(tracker: TrackerProcess, timeout: float) -> Any:
        patience.append(timeout)
        return really_finish(tracker, timeout)

    really_finish = TrackerProcess.finish
    monkeypatch.setattr(TrackerProcess, "finish", finish)

    def interrupt(run: Session) -> None:
        if interrupts and run.current_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with suppress(Suspended, Interrupted):
        tiny_run.train(tmp_path, commands=commands, each=interrupt)
    assert [seconds > 0 for seconds in patience] == [waits]


def test_on_a_full_disk_it_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midcourse.checkpoints.writing import WriterProcess

    capture = WriterProcess.capture

    def full(*args: Any) -> Any:
        if full_from <= run_at[0] < full_from + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return capture(*args)

    full_from, run_at = 3, [-1]
    monkeypatch.setattr(WriterProcess, "capture", full)

    def each(run: Session) -> None:
        run_at[0] = run.current_step

    run = tiny_run.train(tmp_path, each=each, commands={3: [command(1, "suspend")]})
    receipt = tiny_run.receipts(tmp_path)[1]
    assert receipt.state == "failed"
    assert "No space left on device" in receipt.reason
    assert tiny_run.statuses(tmp_path) == ["finished"]
    assert run.last_step == 9


def test_a_program_that_catches_everything_has_suspended_all_the_same(tmp_path: Path) -> None:
    with tiny_run.start(tmp_path) as run:
        work = tiny_run.set_up(run)
        try:
            for _ in range(5):
                run.begin()
                run.log({"loss": work()})
                run.boundary.mailbox.post(command(1, "suspend"))
                run.step()
        except BaseException:
            pass
    assert tiny_run.statuses(tmp_path) == ["suspended"]


def test_a_dry_run_suspends_nothing(tmp_path: Path) -> None:
    asked = command(1, "suspend").model_copy(update={"dry_run": True})
    run = tiny_run.train(tmp_path, commands={3: [asked]})
    assert tiny_run.receipts(tmp_path)[1].state == "checked"
    assert run.last_step == 9


def test_a_journal_with_a_suspension_is_replayed_in_one_go(tmp_path: Path) -> None:
    plan = {**STEERING, **SUSPENDING["while paused"]}
    with pytest.raises(Suspended):
        train(tmp_path, "r1", plan=plan)
    original = train(tmp_path, "r1", plan=plan)
    replayed = train(tmp_path, "r2", replay="r1")
    assert replayed["hash"] == original["hash"]
    notices = [each.message for each in records(tmp_path, "r2") if each.type == "notice"]
    assert "2 pauses, suspensions and resumes are left out" in " ".join(notices)
    last = records(tmp_path, "r2")[-1]
    assert last.summary["replay"] == "exact"


# -- held: a launcher brings it back, and its `resume` is on its way ------------------------------


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api()
    for name, value in (
        ("API_URL", made.url),
        ("RUN_ID", "r1"),
        ("RUN_TOKEN", TOKEN),
        ("ATTEMPT", "1"),
    ):
        monkeypatch.setenv(f"MIDCOURSE_{name}", value)
    yield made
    made.close()


def resume_when_told(api: Api, *commands: Any) -> threading.Thread:
    """Send commands once the run says that it is paused."""

    def send() -> None:
        api.wait_until(lambda: b'"status":"paused"' in api.logs.get("r1", b""))
        api.send(*commands)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("kept", [True, False], ids=["in order", "killed while it went"])
def test_what_was_asked_for_while_it_was_away_acts_before_its_next_step(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    edit = {"kind": "set", "changes": {"optimizer.lr": 0.001}}
    straight = train(tmp_path / "b", "r1", plan={12: [edit]})
    with pytest.raises(Suspended):
        train(tmp_path / "a", "r1", plan={12: [SUSPEND]})
    if not kept:  # its checkpoint did not reach the disk, and what it logged since is redone
        store = CheckpointStore(RunPaths(tmp_path / "a", "r1"))
        store.set_aside("step-12")
    monkeypatch.setenv("MIDCOURSE_HELD", "3")
    api.logs.clear()
    sender = resume_when_told(api, command(2, "set", changes=edit["changes"]), command(3, "resume"))
    resumed = train(tmp_path / "a", "r1")
    sender.join()
    assert resumed["hash"] == straight["hash"]
    told = receipts(tmp_path / "a")
    assert told[3] == ("applied", 12, {"status": "paused"}, {"status": "running"})
    assert said(tmp_path / "a") == [
        RunStatus.SUSPENDED,
        RunStatus.PAUSED,
        RunStatus.RUNNING,
        RunStatus.FINISHED,
    ]


def test_a_resume_that_acted_before_a_crash_is_not_waited_for(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal knows of it, though nobody was told."""
    with pytest.raises(Suspended):
        train(tmp_path, "r1", plan={12: [SUSPEND]})
    monkeypatch.setenv("MIDCOURSE_HELD", "2")
    api.logs.clear()

    def crash(run: Session, step: int) -> None:
        if step == 14:
            raise RuntimeError("the program has a fault")

    sender = resume_when_told(api, command(2, "resume"))
    with pytest.raises(RuntimeError):
        train(tmp_path, "r1", on_step=crash)
    sender.join()
    api.commands.clear()
    assert max(train(tmp_path, "r1")["losses"]) == 39
    assert said(tmp_path).count(RunStatus.PAUSED) == 1


def test_without_a_control_api_there_is_nobody_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDCOURSE_HELD", "1")
    assert tiny_run.train(tmp_path).last_step == 9
