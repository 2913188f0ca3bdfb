"""What must be true of a run, worked out a second time from its commands and the steps it took.

The oracle reads the journal line by line, and beside it what the program told of each step. It
knows the meaning of each command: what must become of it at its boundary, and which values the
steps after it must use.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from truth_program import SAMPLES
from truth_state import ANY, Place, Run, Verdict, is_checkpoint_due, is_due_at, is_overdue
from truth_trainer import Tail
from truth_values import LAYERS, disagreements, spelled_out
from truth_verdicts import verdict_at, verdict_of_refused

from midcourse.contract.commands import (
    Cancel,
    Command,
    Fork,
    Pause,
    Reinitialise,
    Resume,
    Revert,
    SetParameters,
    Stop,
    TakeCheckpoint,
    Undo,
)
from midcourse.contract.journal import Intent, Outcome, Refusal, Scheduled, parse_journal_line
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt

_ENDS = {
    CommandState.EXPIRED: "the run ended",
    CommandState.CANCELLED: "withdrawn by command",
    CommandState.SUPERSEDED: "the run went back",
}
"""What is said of commands that came to no boundary of their own."""


class Oracle:
    """Watches one run, and whatever takes its place, as it is trained."""

    def __init__(self, home: Path, first: str) -> None:
        """Watch a run from its beginning.

        Args:
            home: the folder of all runs.
            first: the id of the run, which has not begun or is at its first step.
        """
        self._home = home
        self._steps = Tail(home / "used.jsonl")
        self._pending: deque[dict[str, Any]] = deque()
        self.runs: dict[str, Run] = {}
        self._first = first
        self._journals: dict[str, Tail] = {}
        self.run: Run | None = None
        """The one that trains; None until it has begun."""
        self._crashes = 0
        self.tally: Counter[tuple[str, str]] = Counter()
        """How often a kind of command came to which end."""

    def begin(self, values: Mapping[str, Any]) -> None:
        """The run has said what its parameters are."""
        told = {name: spelled_out(name, value) for name, value in values.items()}
        place = Place(-1, 0, 0, told, dict.fromkeys(LAYERS, ANY))
        self.run = Run(self._first, place, checkpoints={"initial": place})
        self._add(self.run)

    def _add(self, run: Run) -> None:
        self.runs[run.id] = self.run = run
        run.begun = run.boundary = run.place.step
        self._journals[run.id] = Tail(RunPaths(self._home, run.id).journal)

    # -- reading ------------------------------------------------------------------------------

    def observe(self) -> None:
        """Read on, and check what is read.

        Raises:
            AssertionError: something is not true.
        """
        assert self.run is not None
        self._pending += self._steps.records()
        # What was used by now was used under commands that stand in the journal by now.
        certain = len(self._pending)
        before = certain
        while True:
            run = self.run
            lines = self._journals[run.id].lines()
            self._pending += self._steps.records()
            for line in lines:
                record = parse_journal_line(line)
                step = _boundary_of(record)
                while step is not None and self._pending and self._is_of(run, step):
                    self._use(self._pending.popleft())
                    before -= 1
                self._take(run, record)
            if run is self.run:
                break
        for _ in range(before):
            self._use(self._pending.popleft())

    def _is_of(self, run: Run, step: int) -> bool:
        head = self._pending[0]
        return head["run"] == run.id and head["step"] <= step

    def _use(self, used: dict[str, Any]) -> None:
        run = self.runs[used["run"]]
        step, place = used["step"], run.place
        where = f"step {step} of run {run.id}"
        if step in run.used:
            assert run.used[step] == used, f"{where} was redone in another way"
            return
        assert run is self.run, f"{where} was taken after the run's end"
        assert step == place.step + 1, f"{where} follows step {place.step}"
        assert not run.is_paused, f"{where} was taken by a paused run"
        assert not run.stopped, f"{where} was taken by a stopped run"
        overdue = [seq for seq, it in run.waiting.items() if is_overdue(it, place)]
        assert not overdue, f"{where} was taken before commands {overdue}, which were due"
        epoch, samples = place.epoch, place.samples
        if place.is_epoch_end:
            epoch, samples = epoch + 1, 0
        assert epoch < place.values["train.epochs"], f"{where} is beyond the last epoch"
        wrong = disagreements(place.values, used, SAMPLES - samples)
        assert not wrong, f"{where} did not use what the receipts say (said, used): {wrong}"
        strange = [
            name for name, it in place.weights.items() if it not in (ANY, used["weights"][name])
        ]
        assert not strange, f"{where} began with other weights than were left: {strange}"
        run.used[step] = used
        run.left[place.step] = place
        samples += used["samples"]
        run.place = replace(place, step=step, epoch=epoch, samples=samples, weights=used["left"])
        if is_checkpoint_due(run.place):
            run.due.add(step)
            run.checkpoints[f"step-{step}"] = run.place

    def crashed(self, run_id: str, reported: int) -> None:
        """The process died: the steps that nobody was told of were never taken.

        Args:
            run_id: the run that trained.
            reported: the last step that its log or its journal speaks of.
        """
        self.observe()
        self._crashes += 1
        run = self.runs[run_id]
        if run.place.step <= reported:
            return
        assert run is self.run
        run.place = run.left[reported]
        run.used = {step: it for step, it in run.used.items() if step <= reported}
        run.due = {step for step in run.due if step <= reported}
        run.checkpoints = {name: it for name, it in run.checkpoints.items() if it.step <= reported}

    # -- the journal --------------------------------------------------------------------------

    def _take(self, run: Run, record: Any) -> None:
        step = _boundary_of(record)
        if step is not None:
            assert step == run.place.step, (
                f"the journal of {run.id} speaks of step {step} while the run is at "
                f"{run.place.step}: {record}"
            )
            assert step >= run.boundary, f"{record} comes after something at step {run.boundary}"
            run.boundary = step
        match record:
            case Intent():
                self._intend(run, record)
            case Outcome():
                self._conclude(run, record)
            case Scheduled():
                self._schedule(run, record.command)
            case Refusal():
                self._refuse(run, record)

    def _is_new(self, run: Run, command: Command) -> None:
        again = f"command {command.seq} of run {run.id} was dealt with twice"
        assert command.seq not in run.ended, again
        assert all(intent.command.seq != command.seq for intent, _, _ in run.intents.values()), (
            again
        )
        assert command.run == run.id

    def _schedule(self, run: Run, command: Command) -> None:
        self._is_new(run, command)
        assert command.seq not in run.scheduled, f"command {command.seq} was scheduled twice"
        assert command.at is not None
        assert not command.dry_run
        run.scheduled.add(command.seq)
        run.waiting[command.seq] = command

    def _intend(self, run: Run, intent: Intent) -> None:
        command = intent.command
        self._is_new(run, command)
        assert not command.dry_run
        assert not run.stopped
        self._is_on_time(run, command)
        waited = run.waiting.pop(command.seq, None) is not None
        due = [seq for seq, it in run.waiting.items() if is_due_at(it, run.place)]
        in_turn = not due or (waited and command.seq < min(due))
        assert in_turn, f"command {command.seq} went before {due}, which were due"
        verdict = verdict_at(run, self.runs, command)
        acted = verdict.state in (CommandState.APPLIED, CommandState.FAILED)
        assert acted, f"{command} must not act at step {run.place.step}"
        if intent.undo_to is not None and command.seq != 0:
            known = run.checkpoints.setdefault(intent.undo_to, run.place)
            assert known == run.place, f"{intent.undo_to} stands for two states"
        run.intents[intent.position] = (intent, verdict, run.place)
        if verdict.state is CommandState.APPLIED:
            self._act(run, intent, verdict)

    def _is_on_time(self, run: Run, command: Command) -> None:
        at, place = command.at, run.place
        if at is None:
            return
        wanted = f"command {command.seq} acted at step {place.step}, not at {at}"
        if at.step is not None:
            assert at.step == place.step, wanted
        else:
            assert (at.epoch, True) == (place.epoch, place.is_epoch_end), wanted

    def _act(self, run: Run, intent: Intent, verdict: Verdict) -> None:
        action, place = intent.command.action, run.place
        match action:
            case SetParameters() | Fork() | Reinitialise():
                owner = run.parent if isinstance(action, Fork) else run
                assert owner is not None
                undo = (*place.undo, (owner.id, str(intent.undo_to)))
                renewed = dict.fromkeys(verdict.after.keys() & place.weights.keys(), ANY)
                weights = {**place.weights, **renewed}
                values = place.values if verdict.values is None else verdict.values
                run.place = replace(place, values=values, undo=undo, weights=weights)
            case Pause():
                run.paused, run.pause_after = True, None
            case Resume(steps=steps):
                run.paused = False
                run.pause_after = None if steps is None else place.step + steps
            case Cancel(seq=seq):
                run.waiting.pop(seq)
            case Stop():
                run.stopped = True

    def _conclude(self, run: Run, outcome: Outcome) -> None:
        intent, verdict, place = run.intents.pop(outcome.position)
        command, receipt = intent.command, outcome.receipt
        assert receipt.step == intent.step
        if isinstance(command.action, TakeCheckpoint) and receipt.state is CommandState.APPLIED:
            name = str(receipt.after["checkpoint"])
            known = run.checkpoints.setdefault(name, place)
            assert known == place, f"{name} stands for two states"
        if self._crashes and not receipt.before:  # it had acted, and died before it could say so
            match command.action:
                case Cancel():
                    verdict = Verdict(CommandState.APPLIED)
                case Stop():
                    verdict = replace(verdict, before={})
        self._compare(command, receipt, verdict)
        if isinstance(command.action, Reinitialise):
            assert run.place.step == intent.step
            run.place = replace(run.place, weights={**run.place.weights, **receipt.after})
        self._end(run, command, receipt)
        if receipt.state is not CommandState.APPLIED:
            return
        if isinstance(command.action, Revert | Undo):
            self._succeed(run, command, receipt)

    def _succeed(self, run: Run, command: Command, receipt: Receipt) -> None:
        action = command.action
        assert isinstance(action, Revert | Undo)
        if isinstance(action, Revert):
            owner, name = run.owner(action.checkpoint), action.checkpoint
        else:
            owner, name = self.runs[run.place.undo[-1][0]], run.place.undo[-1][1]
        assert receipt.details["checkpoint_run"] == owner.id
        run.successor = action.child
        self._add(Run(action.child, owner.checkpoints[name], parent=owner, origin=name))

    def _refuse(self, run: Run, refusal: Refusal) -> None:
        command, receipt = refusal.command, refusal.receipt
        self._is_new(run, command)
        run.waiting.pop(command.seq, None)
        if receipt.state in _ENDS:
            assert (receipt.reason or "").startswith(_ENDS[receipt.state])
        else:
            self._compare(command, receipt, verdict_of_refused(run, self.runs, command))
        self._end(run, command, receipt)

    def _end(self, run: Run, command: Command, receipt: Receipt) -> None:
        assert receipt.seq == command.seq
        assert receipt.run == run.id
        run.ended[command.seq] = receipt
        kind = command.action.kind
        if command.dry_run:
            kind = f"dry {kind}"
        elif command.at is not None:
            kind = f"{kind} at {'step' if command.at.step is not None else 'epoch'}"
        self.tally[kind, receipt.state.value] += 1

    def _compare(self, command: Command, receipt: Receipt, verdict: Verdict) -> None:
        told = f"{command.action} (number {command.seq} of {command.run}): {receipt}"
        assert receipt.state is verdict.state, f"must be {verdict.state}: {told}"
        if verdict.state in (CommandState.REJECTED, CommandState.FAILED):
            assert receipt.reason, f"gives no reason: {told}"
            assert not receipt.before, told
            assert not receipt.after, told
        if verdict.faults is not None:
            found = {fault.path for fault in receipt.faults}
            assert found == verdict.faults, f"faults must be {set(verdict.faults)}: {told}"
        for which, said, found in (
            ("before", verdict.before, receipt.before),
            ("after", verdict.after, receipt.after),
        ):
            assert said.keys() == found.keys(), f"{which} must be of {list(said)}: {told}"
            for name in said:
                value = spelled_out(name, found[name])
                same = said[name] is ANY or said[name] == value
                assert same, f"{name} {which} must be {said[name]}: {told}"


def _boundary_of(record: Any) -> int | None:
    """The boundary at which something in the journal happened, where it says so."""
    if isinstance(record, Intent):
        return record.step
    return record.receipt.step if isinstance(record, Refusal) else None
