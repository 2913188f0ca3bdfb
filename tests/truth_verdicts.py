"""What must become of a command, by the meaning of each kind."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from truth_state import ANY, REJECTED, Place, Run, Verdict
from truth_values import LAYERS, Broken, Refused, changed, fits

from midcourse.contract.commands import (
    Alert,
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
from midcourse.contract.receipts import CommandState

Runs = Mapping[str, Run]
"""All runs that took one another's place, by id."""


def verdict_of_refused(run: Run, runs: Runs, command: Command) -> Verdict:
    """Of what the journal says did not act."""
    at, place = command.at, run.place
    if at is not None:
        past = at.step is not None and at.step < place.step
        if past or (at.epoch is not None and at.epoch < place.epoch):
            return REJECTED
    verdict = verdict_at(run, runs, command)
    if not command.dry_run:
        faulty = isinstance(command.action, SetParameters | Revert)
        assert verdict.state is CommandState.REJECTED or faulty, f"{command} must act"
        return verdict
    if verdict.state is not CommandState.APPLIED:
        return verdict
    told = isinstance(command.action, SetParameters | Revert | Undo)
    before, after = dict(verdict.before), dict(verdict.after)
    after.pop("run", None)
    return Verdict(
        CommandState.CHECKED, before if told else {}, after if told else {}, verdict.faults
    )


def verdict_at(run: Run, runs: Runs, command: Command) -> Verdict:
    """What must become of a command that acts, or would act, where the run is."""
    place = run.place
    status = "paused" if run.is_paused else "running"
    applied = CommandState.APPLIED
    match command.action:
        case SetParameters(changes=changes) | Fork(changes=changes):
            return _verdict_of_change(place, changes)
        case Reinitialise(layers=patterns):
            return _verdict_of_renewal(place, patterns)
        case Pause():
            if run.is_paused:
                return REJECTED
            return Verdict(applied, {"status": status}, {"status": "paused"})
        case Resume(steps=steps):
            if steps is None and not run.is_paused:
                return REJECTED
            after: dict[str, Any] = {"status": "running"}
            if steps is not None:
                after["pause_after_step"] = place.step + steps
            return Verdict(applied, {"status": status}, after)
        case Stop():
            after = {"status": "stopped", **_facts_of_checkpoint(place.step)}
            return Verdict(applied, {"status": status}, after)
        case TakeCheckpoint():
            return Verdict(applied, {}, _facts_of_checkpoint(place.step))
        case Cancel(seq=seq):
            if seq not in run.waiting:
                return REJECTED
            scheduled = {"scheduled": str(run.waiting[seq].at)}
            return Verdict(applied, scheduled, {"scheduled": None})
        case Revert() | Undo():
            return _verdict_of_return(run, runs, command.action)
        case Alert():
            return Verdict(applied)
    raise AssertionError(f"unknown: {command.action}")


def _verdict_of_change(place: Place, changes: Mapping[str, Any]) -> Verdict:
    try:
        values = changed(place.values, changes, place.epoch)
    except Refused as refused:
        return replace(REJECTED, faults=frozenset(refused.names))
    except Broken:
        return Verdict(CommandState.FAILED)
    told = [name for name in values if name in changes or values[name] != place.values[name]]
    before = {name: place.values[name] for name in told}
    return Verdict(
        CommandState.APPLIED, before, {name: values[name] for name in told}, values=values
    )


def _verdict_of_return(run: Run, runs: Runs, action: Revert | Undo) -> Verdict:
    """The changes are judged by the state that is gone back to."""
    if isinstance(action, Revert):
        name, target = action.checkpoint, run.find(action.checkpoint)
    elif run.place.undo:
        where, name = run.place.undo[-1]
        target = runs[where].checkpoints[name]
    else:
        return REJECTED
    if target is None or action.child in runs:
        return REJECTED
    if isinstance(action, Revert) and action.changes:
        verdict = _verdict_of_change(target, action.changes)
        if verdict.state is not CommandState.APPLIED:
            return Verdict(verdict.state)
    after = {
        "run": action.child,
        "checkpoint": name,
        "step": target.step,
        "state_hash": ANY,
    }
    before = {"run": run.id, "step": run.place.step}
    return Verdict(CommandState.APPLIED, before, after)


def _verdict_of_renewal(place: Place, patterns: list[str]) -> Verdict:
    renewed = {layer for each in patterns for layer in LAYERS if fits(each, layer)}
    if not all(any(fits(each, layer) for layer in LAYERS) for each in patterns):
        return replace(REJECTED, faults=frozenset({"layers"}))
    before = {layer: place.weights[layer] for layer in renewed}
    return Verdict(CommandState.APPLIED, before, dict.fromkeys(renewed, ANY))


def _facts_of_checkpoint(step: int) -> dict[str, Any]:
    return {"checkpoint": ANY, "step": step, "state_hash": ANY}
