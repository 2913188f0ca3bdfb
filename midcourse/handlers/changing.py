"""Commands that change how the run trains on."""

from typing import TYPE_CHECKING

from midcourse.contract.commands import Command, Fork, Reinitialise, SetParameters
from midcourse.handlers.effect import Effect, Handler, action_of
from midcourse.live.reinitialise import check_reinitialise, reinitialise
from midcourse.live.table import Applied

if TYPE_CHECKING:
    from midcourse.engine import Engine


def _check_set(session: "Engine", command: Command) -> None:
    session.parameters.check(action_of(SetParameters, command).changes)


def _set(session: "Engine", command: Command) -> Effect:
    changes = session.parameters.check(action_of(SetParameters, command).changes)
    effect = _told(session.parameters.apply(changes))
    session.edits += 1
    return effect


def _preview_set(session: "Engine", command: Command) -> Effect:
    changes = session.parameters.check(action_of(SetParameters, command).changes)
    return _told(session.parameters.try_out(changes))


def _fork(session: "Engine", command: Command) -> Effect:
    changes = session.parameters.check(action_of(Fork, command).changes)
    effect = _told(session.parameters.apply(changes))
    session.edits += 1
    return Effect(effect.before, effect.after, session.warm_start_report | effect.details)


def _told(applied: Applied) -> Effect:
    return Effect(dict(applied.before), dict(applied.after), dict(applied.details))


def _check_reinitialise(session: "Engine", command: Command) -> None:
    check_reinitialise(session.tracked.model, action_of(Reinitialise, command).layers)


def _reinitialise(session: "Engine", command: Command) -> Effect:
    layers = action_of(Reinitialise, command).layers
    # Not the command's number nor its place in the journal: a replay has others.
    seed = f"{session.seed}/reinitialise/{session.last_step_of_boundary}/{layers}"
    told = reinitialise(session.tracked.model, session.tracked.optimizer, layers, seed)
    session.edits += 1
    return Effect(told.before, told.after, told.details)


SET = Handler(_set, _check_set, _preview_set)
FORK = Handler(_fork)
REINITIALISE = Handler(_reinitialise, _check_reinitialise)
