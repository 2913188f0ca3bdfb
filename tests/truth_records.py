"""Whether all that speaks of a run's commands says the same: journal, log, control API, W&B."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from truth_oracle import Run
from truth_values import spelled_out

from midcourse.contract.commands import Command, SetParameters
from midcourse.contract.media import Table
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import Receipt
from midcourse.contract.records import CheckpointWritten, CommandDone, LogRecord, Metrics
from midcourse.journal import Journal
from midcourse.runlog import RunLogReader
from midcourse.tracking.follow import Follower
from midcourse.tracking.tracker import RecordingTracker

TABLE = "interventions"


def read_log(home: Path, run: str) -> list[LogRecord]:
    """All that a run's log says."""
    reader = RunLogReader(RunPaths(home, run).run_log)
    found: list[LogRecord] = []
    while records := reader.read():
        found += records
    return found


def check_agreement(home: Path, run: Run, sent: Sequence[Command], shipped: bytes) -> set[int]:
    """Compare everything that was said of a run that has ended.

    Args:
        home: the folder of all runs.
        run: as the oracle knows it.
        sent: what the control API had for it, in order.
        shipped: its log, as the control API has it.

    Returns:
        The numbers of the commands that never reached it: the API ends those.

    Raises:
        AssertionError: two of them disagree.
    """
    records = read_log(home, run.id)
    where = f"run {run.id}"
    assert shipped == RunPaths(home, run.id).run_log.read_bytes(), f"{where}: the API's log differs"
    done = _first_told(records)
    told = {seq: record.receipt for seq, record in done.items()}
    concluded = {receipt.seq: receipt for _, receipt in Journal(_journal(home, run)).concluded()}
    assert told == concluded, f"{where}: journal and log disagree"
    assert told == run.ended, f"{where}: the log tells what the journal did not say in time"
    assert not run.intents, f"{where}: {list(run.intents)} acted and had no outcome"
    assert not run.waiting, f"{where}: {list(run.waiting)} wait for ever"
    asked = {command.seq: command for command in sent}
    invented = told.keys() - asked.keys() - {0}
    assert not invented, f"{where}: nobody sent {invented}"
    for seq, record in done.items():
        assert seq == 0 or record.command == asked[seq], f"{where}: command {seq} was altered"
    written = {it.checkpoint.step for it in records if isinstance(it, CheckpointWritten)}
    assert run.due <= written, f"{where}: no checkpoint at steps {run.due - written}"
    _check_tracking(records, run, told)
    return asked.keys() - told.keys()


def _concluded(records: Sequence[LogRecord]) -> list[tuple[Command, Receipt]]:
    return [(it.command, it.receipt) for it in records if isinstance(it, CommandDone)]


def _journal(home: Path, run: Run) -> Path:
    return RunPaths(home, run.id).journal


def _first_told(records: Sequence[LogRecord]) -> dict[int, CommandDone]:
    found: dict[int, CommandDone] = {}
    for record in records:
        if isinstance(record, CommandDone):
            first = found.setdefault(record.receipt.seq, record)
            assert first.receipt == record.receipt, f"told in two ways: {first}, {record}"
    return found


def _check_tracking(records: Sequence[LogRecord], run: Run, told: Mapping[int, Receipt]) -> None:
    """W&B's table has every command that was not only tried, and its config the last values."""
    tried = {it.seq for it, _ in _concluded(records) if it.dry_run}
    told = {seq: receipt for seq, receipt in told.items() if seq not in tried}
    tracker = RecordingTracker()
    follower = Follower(lambda _: tracker)
    follower.feed(records)
    follower.close()
    tables = [row.media[TABLE] for row in tracker.rows if TABLE in row.media]
    last = tables[-1] if tables else Table(columns=[], rows=[])
    assert isinstance(last, Table)
    lines = [dict(zip(last.columns, row, strict=True)) for row in last.rows]
    shown = {line["seq"] for line in lines}
    assert shown == told.keys(), (
        f"{run.id}: W&B's table has {sorted(shown)} of {sorted(told)}; the log's last records: "
        f"{[it for it in records if not isinstance(it, Metrics)][-6:]}"
    )
    changes = {
        command.seq: command.action.changes
        for command, _ in _concluded(records)
        if isinstance(command.action, SetParameters)
    }
    for seq, receipt in told.items():
        own = [line for line in lines if line["seq"] == seq]
        for line in own:
            found = (line["step"], line["state"])
            assert found == (receipt.step, receipt.state.value), (line, receipt)
            said = [receipt.reason or "", *receipt.details]
            assert all(it in (line["detail"] or "") for it in said), (line, receipt)
        if seq in changes:
            by_name: dict[Any, Any] = {line["parameter"]: line for line in own}
            assert len(by_name) == len(own), f"{run.id}: {own} name a parameter twice"
            assert by_name.keys() == changes[seq].keys() | receipt.after.keys(), (own, receipt)
            for name, line in by_name.items():
                for values, cell in ((receipt.before, "before"), (receipt.after, "after")):
                    assert line[cell] == _as_cell(values.get(name), name in values), (line, receipt)
    for name, value in run.place.values.items():
        found = _dig(tracker.about["parameters"], name)
        assert spelled_out(name, found) == value, f"{run.id}: W&B's config has {name} {found}"


def _as_cell(value: Any, is_there: bool) -> Any:
    plain = isinstance(value, bool | int | float | str)
    return value if plain or not is_there else json.dumps(value)


def _dig(tree: Any, name: str) -> Any:
    for word in name.split("."):
        tree = tree[word]
    return tree
