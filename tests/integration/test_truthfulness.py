"""No command is lost, doubled or falsely reported, and none ends the training, whatever happens.

Hypothesis sends random commands to a real session in a process of its own, over a link that fails,
and kills it now and then. `truth_oracle` knows what must become of each command.
"""

import itertools
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import truth_commands as drafts
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from truth_api import SteeringApi
from truth_commands import Draft
from truth_program import FAULTY_NOISE, PLACES
from truth_steered import Steered

from midcourse.contract.commands import Command
from midcourse.contract.receipts import FINAL_STATES, CommandState

COMMANDS = 1000
"""At least so many are sent; `SETTINGS` make it a few hundred more."""

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=28,
    stateful_step_count=50,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


_few = partial(st.lists, drafts.plain())
DEEDS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "step": (8, {"count": st.integers(1, 5), "let_go": st.sampled_from([True] * 5 + [False])}),
    "send": (5, {"wanted": _few(min_size=1, max_size=5)}),
    "send_over_a_bad_wire": (
        2,
        {
            "wanted": _few(min_size=2, max_size=4),
            "wire": st.sampled_from(["twice", "backwards", "lagging"]),
        },
    ),
    "send_while_it_steps": (2, {"wanted": _few(min_size=1, max_size=4)}),
    "schedule": (3, {"wanted": st.lists(drafts.scheduled(), min_size=1, max_size=4)}),
    "cancel": (
        2,
        {
            "number": st.integers(1, 3),
            "ahead": st.integers(1, 6),
            "wanted": _few(min_size=1, max_size=3),
        },
    ),
    "try_out": (2, {"wanted": st.lists(drafts.tried(), min_size=1, max_size=3)}),
    "go_back": (3, {"wanted": _few(max_size=2), "last": drafts.back()}),
    "cut_the_link": (2, {"how": st.sampled_from(["refuse", "hang", "error"])}),
    "restore_the_link": (1, {}),
    "kill": (1, {"revive": st.sampled_from([True, True, False])}),
    "kill_soon": (2, {"count": st.integers(1, 3)}),
    "kill_the_writer": (1, {}),
    "stop": (1, {"really": st.sampled_from([True, False, False, False, False])}),
}
"""What may happen, by the name of the method; how often; and what is drawn for it."""


@st.composite
def deeds(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Something that happens."""
    often = [name for name, (weight, _) in DEEDS.items() for _ in range(weight)]
    name = draw(st.sampled_from(often))
    return name, {field: draw(values) for field, values in DEEDS[name][1].items()}


class Truthfulness(RuleBasedStateMachine):
    """Rules draw without looking at the run, so that the same inputs are drawn each time."""

    ground: Path
    tally: Counter[tuple[str, str]]
    happened: Counter[str]
    examples: Iterator[int]
    places: Iterator[str]
    failure: str | None = None
    """What went before the first failure, and the failure: a second time it may go well."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = self.ground / str(next(self.examples))
        self._api = SteeringApi()
        self._names = 0
        self._story: list[str] = []
        self._steered = self._begin()
        if self._folder.name == "0":
            self._tour()

    def _tour(self) -> None:
        """A bit of everything, once: what is drawn depends on nothing, but what comes of it does.

        A command that needs a checkpoint, or a change to undo, may else meet neither all day.
        """
        edit = {"changes": {"noise": 0.2}}
        for wanted in [
            [
                Draft("set", edit),
                Draft("reinitialise", {"layers": ["head.out"]}),
                Draft("alert", {"message": "hear"}),
            ],
            [Draft("undo", {"child": "new"})],
            [Draft("set", edit, at=("step", 1)), Draft("set", edit, at=("epoch", 0))],
            [Draft("set", edit, at=("step", 9)), Draft("cancel", {"number": 1})],
            [Draft("checkpoint", {"pin": True}), Draft("set", {"changes": {"noise": 2}})],
            [Draft("set", {"changes": {"noise": FAULTY_NOISE}}), Draft("set", edit, dry_run=True)],
            [
                Draft("set", edit, at=("step", 40)),
                Draft("revert", {"checkpoint": 1, "child": "new", **edit}),
            ],
            [Draft("pause"), Draft("resume", {"steps": 20})],
        ]:
            self._send(wanted)
            self.step(3, let_go=True)
        self._send([Draft("set", edit, at=("step", 40)), Draft("stop")])

    def _tell(self, what: str) -> None:
        steered = self._steered
        where = "" if steered.oracle.run is None else f" at {steered.oracle.run.place.step}"
        self._story.append(f"[{steered.run}{where}] {what}")

    def _begin(self) -> Steered:
        self._names += 1
        name = f"r{self._names}"
        return Steered(self._folder / name, self._api, name)

    def _renew(self) -> None:
        """Begin another run where the last one has ended."""
        self._steered.revive()
        if self._steered.has_ended:
            self._conclude()
            self._steered = self._begin()

    def _conclude(self) -> None:
        steered = self._steered
        steered.link()
        self.tally.update(steered.check_end())
        self.happened["runs"] += 1
        self.happened["kills"] += steered.kills
        self.happened["reverts"] += len(steered.oracle.runs) - 1

    # -- commands -----------------------------------------------------------------------------

    def _send(self, wanted: list[Draft], wire: str = "plain", wait: bool = True) -> None:
        steered, api = self._steered, self._api
        steered.rest()
        if steered.hears:
            steered.wait_for_news()
        run = api.current(steered.first)
        commands = []
        for each in wanted:
            commands.append(self._command(each, run, len(commands)))
        self._tell(f"sent to {run}: " + "; ".join(map(_brief, commands)))
        self.happened["commands"] += len(commands)
        self.happened[f"sent {wire}"] += len(commands)
        if steered.trainer.is_dead:
            self.happened["sent to a dead run"] += len(commands)
        elif steered.oracle.runs[steered.run].is_paused:
            self.happened["sent to a paused run"] += len(commands)
        if not steered.hears or not wait:
            api.send(*commands)
        elif wire == "lagging":
            self._send_lagging(commands)
        else:
            api.backwards = wire == "backwards"
            api.send(*commands)
            steered.wait_for_post(commands, 1)
            api.backwards = False
            if wire == "twice":
                self._send_again(commands, 2)
        if wait:
            steered.rest()

    def _send_lagging(self, commands: list[Command]) -> None:
        """All but the first arrive, then the first."""
        api, first = self._api, commands[0]
        api.held.add((first.run, first.seq))
        api.send(*commands)
        if commands[1:]:
            self._steered.wait_for_post(commands[1:], 1)
        self._send_again([first], 1)

    def _send_again(self, commands: list[Command], times: int) -> None:
        with self._api.news:
            self._api.again = commands
            self._api.news.notify_all()
        self._steered.wait_for_post(commands, times)
        self._api.again = []

    def _command(self, draft: Draft, run: str, place: int) -> Command:
        known = self._steered.oracle.runs.get(run)
        assert known is not None
        at = None
        if draft.at is not None:
            unit, ahead = draft.at
            now = known.place.step if unit == "step" else known.place.epoch
            at = {unit: max(0, now + ahead)}
        fields = {name: self._filled_in(name, value, run) for name, value in draft.fields.items()}
        if draft.kind == "cancel":
            waiting, number = sorted(known.waiting), fields["number"]
            fields = {"seq": waiting[number % len(waiting)] if waiting and number % 4 else 77}
        command = self._api.issue(run, {"kind": draft.kind, **fields}, at=at, dry_run=draft.dry_run)
        return command.model_copy(update={"seq": command.seq + place})

    def _filled_in(self, name: str, value: Any, run: str) -> Any:
        known = self._steered.oracle.runs[run]
        if name == "changes":
            epochs = value.get("train.epochs")
            if isinstance(epochs, str):
                value = {**value, "train.epochs": known.place.epoch + int(epochs)}
            return value
        if name == "child":
            old = next(iter(self._steered.oracle.runs))
            self._names += 1
            return {"new": f"r{self._names}", "own": run, "old": old}[value]
        if name == "checkpoint" and not isinstance(value, bool):
            names = list(known.checkpoints)
            if known.parent is not None:
                names += known.parent.checkpoints
            return names[value % len(names)] if names and value % 9 else "step-99999"
        return value

    # -- what may happen ----------------------------------------------------------------------

    @rule(deed=deeds())
    def act(self, deed: tuple[str, dict[str, Any]]) -> None:
        """One rule for all, so that every example has a bit of everything."""
        name, drawn = deed
        getattr(self, name)(**drawn)

    def send(self, wanted: list[Draft]) -> None:
        self._send(wanted)

    def send_over_a_bad_wire(self, wanted: list[Draft], wire: str) -> None:
        self._send(wanted, wire)

    def schedule(self, wanted: list[Draft]) -> None:
        self._send(wanted)

    def cancel(self, number: int, ahead: int, wanted: list[Draft]) -> None:
        self._send([replace(each, at=("step", ahead)) for each in wanted])
        self._send([Draft("cancel", {"number": number})])

    def try_out(self, wanted: list[Draft]) -> None:
        self._send(wanted)

    def go_back(self, wanted: list[Draft], last: Draft) -> None:
        self._send([*wanted, last])

    def send_while_it_steps(self, wanted: list[Draft]) -> None:
        """Nobody knows at which of two boundaries they act."""
        self._renew()
        if self._steered.trainer.is_ready:
            self._steered.trainer.step()
            self._send_racing(wanted)

    def _send_racing(self, wanted: list[Draft]) -> None:
        steered = self._steered
        run = self._api.current(steered.first)
        commands = [self._command(each, run, place) for place, each in enumerate(wanted)]
        self._tell(f"sent to {run}, racing: " + "; ".join(map(_brief, commands)))
        self.happened["commands"] += len(commands)
        self.happened["sent racing"] += len(commands)
        self._api.send(*commands)
        steered.rest()
        if steered.hears:
            steered.wait_for_post(commands, 1)
            steered.rest()

    def step(self, count: int, let_go: bool) -> None:
        """Take steps; with `let_go` mend what would keep them from being taken, or heard of."""
        for _ in range(count):
            self._renew()
            steered = self._steered
            if let_go:
                steered.link()
            if not steered.trainer.is_ready and let_go:
                self._send([Draft("resume", {"steps": None})])
            if not steered.trainer.is_ready:
                return
            self._tell("step")
            steered.step()

    def cut_the_link(self, how: str) -> None:
        self._steered.rest()
        self._tell(f"cut the link: {how}")
        self._steered.cut(how)
        self.happened[f"link cut: {how}"] += 1

    def restore_the_link(self) -> None:
        self._tell("restore the link")
        self._steered.link()

    def kill(self, revive: bool) -> None:
        self._tell("kill")
        self._steered.kill()
        if revive:
            self._renew()

    def kill_soon(self, count: int) -> None:
        """SIGKILL strikes the next time, or a time later, that the process passes a place.

        The places take turns, so that each of them has some.
        """
        self._renew()
        if self._steered.trainer.is_ready:
            place = next(self.places)
            self._tell(f"kill when {place}, time {count}")
            self._steered.trainer.strike_at(place, count)
            self.happened[f"struck: {place}"] += 1

    def kill_the_writer(self) -> None:
        self._tell("kill the checkpoint writer")
        self._steered.trainer.kill_writer()

    def stop(self, really: bool) -> None:
        if really:
            self._send([Draft("stop")])

    @invariant()
    def nothing_is_false(self) -> None:
        self._steered.rest()

    def teardown(self) -> None:
        has_failed = isinstance(sys.exc_info()[1], Exception)  # others say that no more is drawn
        try:
            if not has_failed:
                self._end_well()
        except Exception:
            has_failed = True
            raise
        finally:
            if has_failed and Truthfulness.failure is None:
                Truthfulness.failure = "\n".join([*self._story, "", traceback.format_exc()])
            self._steered.trainer.close()
            self._steered.link()
            self._api.close()

    def _end_well(self) -> None:
        steered = self._steered
        steered.link()
        for _ in range(60):  # a revert that is under way may take the place of a run that is told
            steered.revive()
            if steered.has_ended:
                break
            self._send([Draft("stop")])
            if steered.trainer.is_ready:
                steered.step()
        else:
            raise AssertionError("the run does not end")
        self._conclude()


def _brief(command: Command) -> str:
    fields = command.action.model_dump(exclude={"kind"}, exclude_defaults=True)
    at = f" at {command.at}" if command.at is not None else ""
    dry = " (dry run)" if command.dry_run else ""
    return f"{command.seq} {command.action.kind} {fields}{at}{dry}"


def test_no_command_is_lost_doubled_or_falsely_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Truthfulness.ground = tmp_path
    Truthfulness.tally, Truthfulness.happened = Counter(), Counter()
    Truthfulness.examples = itertools.count()
    Truthfulness.places = itertools.cycle(sorted(PLACES))
    Truthfulness.failure = None
    try:
        run_state_machine_as_test(Truthfulness, settings=SETTINGS)
    except Exception:
        if Truthfulness.failure is None:
            raise
    if Truthfulness.failure is not None:
        pytest.fail(Truthfulness.failure, pytrace=False)
    tally, happened = Truthfulness.tally, Truthfulness.happened
    with capsys.disabled():
        print(_report(tally, happened))
    assert happened["commands"] >= COMMANDS
    assert {state for _, state in tally} >= FINAL_STATES
    kinds = {kind for kind, state in tally if state == CommandState.APPLIED}
    assert {"set", "reinitialise", "pause", "resume", "stop", "checkpoint", "revert"} <= kinds
    assert {"undo", "fork", "cancel", "alert", "set at step", "set at epoch"} <= kinds
    assert all(happened[f"sent {how}"] for how in ("twice", "backwards", "lagging", "racing"))
    assert all(happened[f"link cut: {how}"] for how in ("refuse", "hang", "error"))
    assert all(happened[f"struck: {place}"] for place in PLACES)


def _report(tally: Counter[tuple[str, str]], happened: Counter[str]) -> str:
    kinds = sorted({kind for kind, _ in tally})
    states = sorted({state for _, state in tally})
    lines = ["", "kind of command".ljust(24) + "".join(state.rjust(18) for state in states)]
    for kind in kinds:
        counts = [tally[kind, state] for state in states]
        lines.append(kind.ljust(24) + "".join(str(count or "").rjust(18) for count in counts))
    lines.append("; ".join(f"{what}: {count}" for what, count in sorted(happened.items())))
    return "\n".join(lines)
