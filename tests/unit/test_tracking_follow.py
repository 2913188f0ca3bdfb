"""From records to a tracker: curves, commands, descriptions, and taking over."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from tracked_runs import RUN, checkpoint, done, lr_set, media, metrics, started, status

from midcourse.contract.checkpoints import CheckpointReason
from midcourse.contract.commands import Fork, Pause, Reinitialise, Revert, SetParameters, Undo
from midcourse.contract.datasets import Dataset
from midcourse.contract.interventions import COLUMNS
from midcourse.contract.media import Bars, Table
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CheckpointDeleted, DatasetUsed, LogRecord, Notice
from midcourse.contract.runs import Origin, RunStatus
from midcourse.tracking.follow import Follower
from midcourse.tracking.marked_curve import CHART, MarkedCurve
from midcourse.tracking.tracker import RecordingTracker


def follow(records: Sequence[LogRecord], first_position: int = 0) -> RecordingTracker:
    tracker = RecordingTracker(first_position)
    follower = Follower(lambda _: tracker)
    follower.feed(records)
    tracker.finish(follower.close())
    return tracker


def curve(tracker: RecordingTracker, name: str) -> dict[int, float]:
    return {row.step: row.values[name] for row in tracker.rows if name in row.values}


def table(tracker: RecordingTracker) -> list[dict[str, Any]]:
    tables = [row.media["interventions"] for row in tracker.rows if "interventions" in row.media]
    last = tables[-1]
    assert isinstance(last, Table)
    return [dict(zip(last.columns, cells, strict=True)) for cells in last.rows]


def test_every_value_stands_at_its_step_with_its_time() -> None:
    log = [
        started(),
        *(metrics(step, train__loss=1.0 / (step + 1)) for step in range(3)),
        metrics(2, test__loss=0.4),
        status(RunStatus.FINISHED, 2, note="done"),
    ]
    tracker = follow(log)
    assert curve(tracker, "train/loss") == {0: 1.0, 1: 0.5, 2: 1.0 / 3}
    assert curve(tracker, "test/loss") == {2: 0.4}
    assert tracker.rows[1].time == metrics(1, a=0.0).time
    assert tracker.summary["note"] == "done"
    assert tracker.summary["midcourse/status"] == "finished"
    assert tracker.summary["midcourse/last_step"] == 2
    assert tracker.status is RunStatus.FINISHED


def test_a_loss_that_became_nan_is_shown_as_such() -> None:
    tracker = follow([started(), metrics(0, train__loss="NaN", up="Infinity", down="-Infinity")])
    values = tracker.rows[0].values
    assert math.isnan(values["train/loss"])
    assert (values["up"], values["down"]) == (math.inf, -math.inf)


def test_parameters_are_curves_with_a_step_where_a_command_acted() -> None:
    log = [
        started(**{"optimizer.lr": 0.1, "nesterov": True, "optimizer.name": "sgd"}),
        *(metrics(step, train__loss=1.0) for step in range(3)),
        lr_set(1, 2, 0.1, 0.01),
        *(metrics(step, train__loss=1.0) for step in range(3, 6)),
        status(RunStatus.FINISHED, 5),
    ]
    tracker = follow(log)
    assert curve(tracker, "param/optimizer.lr") == {0: 0.1, 2: 0.1, 3: 0.01}
    assert curve(tracker, "param/nesterov") == {0: 1.0}
    assert curve(tracker, "param/optimizer.name") == {}
    assert curve(tracker, "intervention") == {2: 1.0}
    assert tracker.about["parameters"] == {
        "optimizer": {"lr": 0.01, "name": "sgd"},
        "nesterov": True,
    }


def test_the_table_tells_who_did_what_when_why_and_with_what_outcome() -> None:
    log = [
        started(),
        metrics(0, train__loss=1.0),
        lr_set(1, 0, 0.1, 0.01),
        metrics(1, train__loss=1.0),
        lr_set(2, 1, 0.01, None, state=CommandState.REJECTED, reason="too low", asked=-1.0),
        done(3, 1, Pause()),
        status(RunStatus.PAUSED, 1),
        status(RunStatus.STOPPED, 1),
    ]
    rows = table(follow(log))
    assert list(rows[0]) == COLUMNS
    assert rows[0] == {
        "seq": 1,
        "step": 0,
        "actor": "ada",
        "command": "set",
        "parameter": "optimizer.lr",
        "before": 0.1,
        "after": 0.01,
        "reason": "it diverges",
        "state": "applied",
        "detail": None,
    }
    assert (rows[1]["state"], rows[1]["after"], rows[1]["detail"]) == ("rejected", None, "too low")
    assert (rows[2]["command"], rows[2]["parameter"]) == ("pause", None)


def test_what_changed_along_with_a_parameter_is_told_as_well() -> None:
    log = [
        started(**{"optimizer.lr": 0.1, "data.batch_size": 8}),
        metrics(0, a=1.0),
        done(
            1,
            0,
            SetParameters(changes={"data.batch_size": {"value": 16, "scale_lr": True}}),
            before={"data.batch_size": 8, "optimizer.lr": 0.1},
            after={"data.batch_size": 16, "optimizer.lr": 0.2},
            details={"undo_to": "step-0"},
        ),
        metrics(1, a=1.0),
    ]
    tracker = follow(log)
    told = [(row["parameter"], row["before"], row["after"]) for row in table(tracker)]
    assert told == [("data.batch_size", 8, 16), ("optimizer.lr", 0.1, 0.2)]
    assert {row["detail"] for row in table(tracker)} == {"undo_to=step-0"}
    assert curve(tracker, "param/optimizer.lr") == {0: 0.1, 1: 0.2}
    assert tracker.about["parameters"] == {"optimizer": {"lr": 0.2}, "data": {"batch_size": 16}}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ([0.9, 0.999], "[0.9, 0.999]"),
        ({"name": "sgd"}, '{"name": "sgd"}'),
        (None, "null"),
        (True, True),
        ("text", "text"),
        (3, 3),
    ],
)
def test_every_kind_of_value_has_a_cell(value: Any, cell: Any) -> None:
    change = SetParameters(changes={"p": value})
    command = done(1, 0, change, before={"p": 0.5}, after={"p": value})
    tracker = follow([started(p=0.5), metrics(0, a=1.0), command, metrics(1, a=1.0)])
    [row] = table(tracker)
    assert (row["before"], row["after"]) == (0.5, cell)
    assert tracker.about["parameters"] == {"p": value}


def test_a_forks_changes_and_a_layer_made_anew_have_lines_of_their_own() -> None:
    log = [
        started(next_step=5),
        done(0, 4, Fork(changes={"optimizer.lr": 0.5}), before=LR, after={"optimizer.lr": 0.5}),
        done(1, 4, Reinitialise(layers=["h*"]), before={"head": "old"}, after={"head": "new"}),
        metrics(5, a=1.0),
    ]
    tracker = follow(log)
    told = [(row["seq"], row["parameter"], row["before"], row["after"]) for row in table(tracker)]
    assert told == [(0, "optimizer.lr", 0.1, 0.5), (1, "head", "old", "new")]
    assert curve(tracker, "param/optimizer.lr") == {4: 0.1, 5: 0.5}


LR = {"optimizer.lr": 0.1}


def test_a_dry_run_is_no_intervention() -> None:
    tried = done(1, 0, Pause(), state=CommandState.CHECKED, dry_run=True)
    refused = done(2, 0, Pause(), state=CommandState.REJECTED, dry_run=True)
    tracker = follow([started(), metrics(0, a=1.0), tried, refused, metrics(1, a=1.0)])
    assert all("interventions" not in row.media for row in tracker.rows)
    assert curve(tracker, "intervention") == {}


@pytest.mark.parametrize(
    "state", [CommandState.EXPIRED, CommandState.CANCELLED, CommandState.SUPERSEDED]
)
def test_what_ended_before_it_acted_stands_at_the_newest_step(state: CommandState) -> None:
    ended = done(7, None, Pause(), state=state, reason="because")
    tracker = follow([started(), metrics(0, a=1.0), metrics(1, a=1.0), ended, metrics(2, a=1.0)])
    assert curve(tracker, "intervention") == {1: 7.0}
    [row] = table(tracker)
    assert (row["state"], row["step"], row["detail"]) == (state.value, None, "because")


def test_an_undo_says_where_to() -> None:
    after = {"run": "rchild", "checkpoint": "step-1", "step": 1}
    log = [started(), metrics(3, a=1.0), done(1, 3, Undo(child="rchild"), after=after)]
    [row] = table(follow([*log, status(RunStatus.SUPERSEDED, 3)]))
    assert (row["command"], row["after"]) == ("undo", "run=rchild, checkpoint=step-1, step=1")


def test_what_a_pause_tells_of_is_no_parameter_of_the_same_name() -> None:
    paused = done(1, 0, Pause(), before={"status": "running"}, after={"status": "paused"})
    tracker = follow([started(status="mine"), metrics(0, a=1.0), paused, metrics(1, a=1.0)])
    assert tracker.about["parameters"] == {"status": "mine"}


def test_a_rejected_command_moves_no_curve() -> None:
    rejected = lr_set(1, 0, 0.1, None, state=CommandState.REJECTED)
    tracker = follow([started(), metrics(0, a=1.0), rejected, metrics(1, a=1.0)])
    assert curve(tracker, "param/optimizer.lr") == {0: 0.1}


def test_an_edit_before_the_first_step_is_shown_at_step_zero() -> None:
    tracker = follow([started(), lr_set(1, -1, 0.1, 0.5), metrics(0, a=1.0)])
    assert curve(tracker, "param/optimizer.lr") == {0: 0.5}
    assert table(tracker)[0]["step"] == -1


def test_a_command_that_never_acted_is_still_told() -> None:
    expired = done(1, None, Pause(), state=CommandState.EXPIRED, reason="the run ended")
    tracker = follow([started(), metrics(0, a=1.0), status(RunStatus.FINISHED, 0), expired])
    # The run ended before; what comes after stands behind.
    assert table(tracker)[0]["state"] == "expired"


def test_a_revert_says_where_to() -> None:
    revert = done(
        1,
        3,
        Revert(checkpoint="step-1", child="rchild", changes={"optimizer.lr": 0.5}),
        after={"run": "rchild", "checkpoint": "step-1", "state_hash": "0" * 64},
    )
    log = [started(), metrics(3, a=1.0), revert, status(RunStatus.SUPERSEDED, 3)]
    tracker = follow(log)
    rows = table(tracker)
    assert rows[0]["after"] == "run=rchild, checkpoint=step-1"
    assert (rows[1]["parameter"], rows[1]["after"]) == ("optimizer.lr", 0.5)
    assert curve(tracker, "param/optimizer.lr") == {0: 0.1}, (
        "the child trains with it, not this run"
    )


def test_a_pause_shows_all_that_is_complete_and_edits_while_paused_come_next() -> None:
    tracker = RecordingTracker()
    follower = Follower(lambda _: tracker)
    follower.feed([started(), metrics(0, a=1.0), metrics(1, a=2.0), done(1, 1, Pause())])
    assert [row.step for row in tracker.rows] == [0]
    follower.feed([status(RunStatus.PAUSED, 1)])
    assert [row.step for row in tracker.rows] == [0, 1]
    follower.feed([lr_set(2, 1, 0.1, 0.2), status(RunStatus.RUNNING, 1), metrics(2, a=3.0)])
    follower.feed([status(RunStatus.FINISHED, 2)])
    assert tracker.rows[-1].values == {"a": 3.0, "param/optimizer.lr": 0.2, "intervention": 2.0}


def interrupted_log() -> list[LogRecord]:
    """Killed at step 6, again from step 3, stopped at 9; with a command at 4."""
    first = [metrics(step, loss=float(step)) for step in range(7)]
    again = [metrics(step, loss=float(step)) for step in range(3, 10)]
    command = lr_set(1, 4, 0.1, 0.2)
    return [
        started(),
        *first[:5],
        command,
        *first[5:],
        started(next_step=3, attempt=2),
        *again[:2],
        command,
        *again[2:],
        status(RunStatus.STOPPED, 9),
    ]


def test_a_crash_and_its_redo_leave_one_clean_history() -> None:
    tracker = follow(interrupted_log())
    assert curve(tracker, "loss") == {step: float(step) for step in range(10)}
    assert curve(tracker, "param/optimizer.lr") == {0: 0.1, 4: 0.1, 5: 0.2}
    assert len(table(tracker)) == 1
    assert tracker.about["attempt"] == 2


def test_metrics_of_the_step_that_was_cut_short_are_not_lost() -> None:
    """Killed during an evaluation: the training loss was shown, the test loss comes later."""
    log = [
        started(),
        metrics(0, train__loss=1.0),
        started(attempt=2),
        metrics(0, train__loss=1.0),
        metrics(0, test__loss=0.7),
        metrics(1, train__loss=0.9),
        status(RunStatus.FINISHED, 1),
    ]
    first = follow(log[:2])
    assert [row.step for row in first.rows] == [0], "a dead trainer's last row is shown"
    tracker = follow(log, first_position=1)
    assert curve(tracker, "test/loss") == {0: 0.7}
    assert curve(tracker, "train/loss") == {1: 0.9}


@pytest.mark.parametrize("cut", range(1, 22))
def test_a_tracker_that_takes_over_completes_the_history_exactly(cut: int) -> None:
    log = interrupted_log()
    whole = follow(log)
    first = RecordingTracker()
    Follower(lambda _: first).feed(log[:cut])  # died here, without a word
    reached = first.rows[-1].position + 1 if first.rows else 0
    second = follow(log, first_position=reached)
    assert first.rows + second.rows == whole.rows
    assert second.about == whole.about


def test_how_the_log_is_cut_into_reads_makes_no_difference() -> None:
    log = interrupted_log()
    tracker = RecordingTracker()
    follower = Follower(lambda _: tracker)
    for record in log:
        follower.feed([record])
    follower.close()
    assert tracker.rows == follow(log).rows


def test_media_stand_in_the_row_of_their_step_once() -> None:
    bars = Bars(labels=["a"], values=[1.0])
    shown = media(0, "test/bars", bars)
    tracker = follow([started(), metrics(0, a=1.0), shown, shown, metrics(1, a=1.0)])
    assert [dict(row.media) for row in tracker.rows] == [{"test/bars": bars}, {}]


def test_best_values_and_where_they_were_reached() -> None:
    log = [
        started(),
        metrics(0, test__accuracy=0.5, test__loss=0.9, train__batch_loss=0.1),
        metrics(1, test__accuracy=0.8, test__loss="NaN", test__f1=0.2),
        metrics(2, test__accuracy=0.7, test__loss=0.95),
        status(RunStatus.FINISHED, 2),
    ]
    best = {key: value for key, value in follow(log).summary.items() if key.startswith("best/")}
    assert best == {
        "best/test/accuracy": 0.8,
        "best/test/accuracy_step": 1,
        "best/test/loss": 0.9,
        "best/test/loss_step": 0,
        "best/test/f1": 0.2,
        "best/test/f1_step": 1,
    }


def test_the_shelf_follows_the_log() -> None:
    follower = Follower(lambda _: RecordingTracker())
    follower.feed(
        [
            started(),
            checkpoint(-1, reason=CheckpointReason.INITIAL),
            checkpoint(10),
            checkpoint(20, best=True),
            checkpoint(30, best=True),
            checkpoint(40),
            CheckpointDeleted(at=checkpoint(10).at, name="step-30"),
            done(1, 41, Undo(child="rchild"), after={"run": "rchild", "checkpoint": "step-10"}),
        ]
    )
    kept = [(each.record.name, each.aliases) for each in follower.shelf.at_the_end()]
    assert kept == [
        ("step-10", ("step-10",)),
        ("step-20", ("step-20", "best")),
        ("step-40", ("step-40", "latest")),
    ]


def test_a_fork_uses_its_parents_checkpoint_and_every_run_its_data() -> None:
    origin = Origin(run="rparent", checkpoint="step-500")
    data = Dataset(name="digits", digest="0" * 64, samples=12, labels={"a": 5, "b": 7})
    said = DatasetUsed(at=checkpoint(1).at, dataset=data)
    tracker = follow([started(501, origin=origin), said, metrics(501, a=1.0), said])
    assert tracker.origin == origin
    assert tracker.dataset == data
    assert tracker.about["dataset"] == {
        "name": "digits",
        "digest": "0" * 64,
        "samples": 12,
        "bytes": None,
    }


def test_the_loss_is_drawn_with_what_was_done_to_the_run() -> None:
    log = [
        started(),
        *(metrics(step, train__loss=1.0 / (step + 1), train__batch_loss=9.0) for step in range(4)),
        lr_set(1, 3, 0.1, 0.01),
        *(metrics(step, train__loss=0.1) for step in range(4, 6)),
        done(2, 5, Pause(), state=CommandState.REJECTED, reason="no"),
        status(RunStatus.FINISHED, 5),
    ]
    tracker = follow(log)
    charts = {row.step: row.media[CHART] for row in tracker.rows if CHART in row.media}
    assert sorted(charts) == [3, 5]
    last = charts[5]
    assert isinstance(last, MarkedCurve)
    # The row that a chart stands in is not complete yet when it is drawn.
    assert (last.metric, last.steps) == ("train/loss", [0, 1, 2, 3, 4])
    assert [(mark.step, mark.label) for mark in last.marks] == [
        (3, "1: optimizer.lr 0.1 \N{RIGHTWARDS ARROW} 0.01")
    ]


def test_people_are_alerted_of_what_needs_them() -> None:
    by_policy = done(-1, 2, Pause())
    by_policy = by_policy.model_copy(
        update={"command": by_policy.command.model_copy(update={"actor": "policy:spike"})}
    )
    log = [started(), metrics(2, a=1.0), done(1, 1, Pause()), by_policy]
    failed = status(RunStatus.FAILED, 2).model_copy(update={"reason": "CUDA out of memory"})
    alerts = follow([*log, failed]).alerts
    assert [(alert.kind, alert.title, alert.text) for alert in alerts] == [
        ("pause", f"{RUN} is paused", "it diverges (at step 2, by policy:spike)."),
        ("failed", f"{RUN} failed", "It failed at step 2: CUDA out of memory."),
    ]
    assert [alert.kind for alert in follow([*log[:2], status(RunStatus.STOPPED, 2)]).alerts] == [
        "finished"
    ]


def test_what_must_have_arrived_is_counted() -> None:
    follower = Follower(lambda _: RecordingTracker(first_position=2))
    follower.feed([started(), *(metrics(step, a=1.0) for step in range(4))])
    assert (follower.row_count, follower.last_position) == (3, 2)
    follower.close()
    assert (follower.row_count, follower.last_position) == (4, 3)


def test_a_fork_says_where_it_comes_from() -> None:
    origin = Origin(
        run="rparent", checkpoint="step-500", changes={"optimizer.lr": 0.2}, actor="ada"
    )
    tracker = follow([started(next_step=501, origin=origin), metrics(501, a=1.0)])
    assert tracker.about["origin"] == {
        "run": "rparent",
        "checkpoint": "step-500",
        "step": 500,
        "changes": {"optimizer.lr": 0.2},
        "actor": "ada",
        "revert": False,
    }
    assert tracker.about["seed"] == 7
    assert [row.position for row in tracker.rows] == [501]


def test_a_run_that_never_started_opens_no_tracker() -> None:
    follower = Follower(lambda _: pytest.fail("opened"))
    follower.feed([Notice(at=checkpoint(1).at, message="the disk is full")])
    assert follower.close() is RunStatus.INTERRUPTED


def test_what_a_restarted_run_sets_again_is_what_it_is_shown_with() -> None:
    """The redo repeats no receipts: what acted after the checkpoint is known from before."""
    log = [
        started(**{"optimizer.lr": 0.1}),
        *(metrics(step, loss=1.0) for step in range(4)),
        lr_set(1, 3, 0.1, 0.5),
        *(metrics(step, loss=1.0) for step in range(4, 6)),
        started(2, attempt=2, **{"optimizer.lr": 0.1}),
        *(metrics(step, loss=1.0) for step in range(2, 8)),
    ]
    assert follow(log).about["parameters"] == {"optimizer": {"lr": 0.5}}
