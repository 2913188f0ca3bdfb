"""Random submissions, wishes, crashes and deaths of the reconciler at any line: nothing is started
twice, nothing is lost, no slot lies idle, and every run ends where it was wanted.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from control_bench import Bench, BenchLauncher, BenchTrainer, status
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from control_api.queue import free_slots, queued_runs
from control_api.reconciler import Reconciler
from control_api.slots import cpu_slots
from control_api.tables import AttemptRow, RunRow
from midcourse.contract import environment
from midcourse.contract.runs import ENDED, RunStatus

pytestmark = pytest.mark.only_on("sqlite")

SLOTS = 2
MOST_RUNS = 6


class Death(BaseException):
    """The reconciler is killed here."""


class Launcher(BenchLauncher):
    """Kills what it is told to kill; dies where it is told to die."""

    def __init__(self) -> None:
        super().__init__()
        self.pass_by: Any = lambda: None

    def submit(self, spec: Any) -> Any:
        self.pass_by()
        handle = super().submit(spec)
        self.pass_by()
        return handle

    def stop(self, handle: Any, *, force: bool = False) -> None:
        super().stop(handle, force=force)
        if force:
            self.ended.setdefault(handle["id"], -9)

    def live(self) -> list[Any]:
        return [s for s in self.started if f"{s.run_id}/{s.attempt}" not in self.ended]


class Sim:
    """A trainer that does as it is told, when the test lets it."""

    def __init__(self, trainer: BenchTrainer, *, held: bool) -> None:
        self.trainer = trainer
        self.held = held
        self.has_begun = False

    def begin(self, step: int) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.trainer.say(self.trainer.started(next_step=step))
            if self.held:
                self.trainer.say(status("paused", step=step))

    def obey(self, *, before_it_can_say_so: bool) -> bool:
        """Act on what is asked; False once the process is gone."""
        for command in self.trainer.poll():
            kind = command["action"]["kind"]
            if kind in ("suspend", "stop"):
                if before_it_can_say_so:
                    self.trainer.end(-9)
                    return False
                word = {"suspend": "suspended", "stop": "stopped"}[kind]
                self.trainer.say(self.trainer.done(command), status(word))
                self.trainer.end(0)
                return False
            if self.held:
                self.held = False
                self.trainer.say(self.trainer.done(command), status("running"))
            else:
                self.trainer.say(self.trainer.done(command, "rejected", reason="is not paused"))
        return True


class ReconcilerMachine(RuleBasedStateMachine):
    """A bench with two slots, its trainers, and what people want of each run."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.bench = Bench(self.folder, slots=cpu_slots(SLOTS), futile_attempts=1000)
        self.bench.launcher = self.launcher = Launcher()
        self._new_reconciler()
        self.wanted: dict[str, str] = {}
        self.finished: set[str] = set()
        self.sims: dict[tuple[str, int], Sim] = {}
        self.steps: Counter[str] = Counter()

    def _new_reconciler(self) -> None:
        bench = self.bench
        bench.reconciler = Reconciler(
            bench.settings, bench.database, self.launcher, now=lambda: bench.clock
        )

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self.bench.close()
            shutil.rmtree(self.folder)

    # -- what people do -----------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.submit(0)
        self.bench.round()

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        if len(self.wanted) < MOST_RUNS:
            body = {"config": {}, "priority": priority}
            self.wanted[self.bench.post("/runs", body, expect=201)["id"]] = "train"

    @rule(verb=st.sampled_from(["suspend", "resume", "resume", "stop"]), data=st.data())
    def ask(self, verb: str, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.wanted)))
        answer = self.bench.ask("POST", f"/runs/{run}/{verb}")
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 202 and self.wanted[run] != "stop":
            self.wanted[run] = {"resume": "train"}.get(verb, verb)

    # -- what trainers do ---------------------------------------------------------------------

    def _some_sim(self, data: st.DataObject) -> Sim | None:
        live = self._live_sims()
        return data.draw(st.sampled_from(live)) if live else None

    def _live_sims(self) -> list[Sim]:
        found = []
        for spec in self.launcher.live():
            key = (spec.run_id, spec.attempt)
            if key not in self.sims:
                trainer = self.bench.trainer(spec.run_id)
                held = environment.HELD in spec.environment
                self.sims[key] = Sim(trainer, held=held)
            found.append(self.sims[key])
        return found

    @rule(data=st.data(), dies=st.sampled_from([False, False, True]))
    def trainer_acts(self, data: st.DataObject, dies: bool) -> None:
        sim = self._some_sim(data)
        if sim is not None:
            sim.begin(self.steps[sim.trainer.run])
            sim.obey(before_it_can_say_so=dies)

    @rule(data=st.data(), code=st.sampled_from([-9, 143, 1]))
    def trainer_crashes(self, data: st.DataObject, code: int) -> None:
        sim = self._some_sim(data)
        if sim is not None:
            sim.trainer.end(code)

    @rule(data=st.data())
    def trainer_finishes(self, data: st.DataObject) -> None:
        sim = self._some_sim(data)
        if sim is not None:
            self._finish(sim)

    def _finish(self, sim: Sim) -> None:
        sim.begin(self.steps[sim.trainer.run])
        if sim.obey(before_it_can_say_so=False) and not sim.held:
            sim.trainer.say(status("finished"))
            sim.trainer.end(0)
            self.finished.add(sim.trainer.run)

    # -- what the reconciler does -------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 20.0]))
    def round(self, seconds: float) -> None:
        self.bench.round(later=seconds)

    @rule(after=st.integers(0, 60))
    def round_in_which_it_dies(self, after: int) -> None:
        countdown = iter(range(after, -1, -1))

        def pass_by() -> None:
            if next(countdown, None) == 0:
                raise Death

        database = self.bench.database
        writing = database.writing

        @contextmanager
        def deadly() -> Iterator[Any]:
            pass_by()
            with writing() as session:
                yield session
            pass_by()

        database.writing, self.launcher.pass_by = deadly, pass_by  # type: ignore[method-assign]
        try:
            self.bench.round()
        except Death:
            self._new_reconciler()
        finally:
            del database.writing
            self.launcher.pass_by = lambda: None

    @rule(data=st.data())
    def a_handle_is_lost(self, data: st.DataObject) -> None:
        """As if the reconciler had died right after it started that trainer."""
        with self.bench.database.writing() as session:
            rows = session.scalars(select(AttemptRow).where(AttemptRow.ended_at.is_(None))).all()
            if rows:
                data.draw(st.sampled_from(sorted(rows, key=lambda row: row.run_id))).handle = None

    # -- what is always so --------------------------------------------------------------------

    @invariant()
    def nobody_trains_twice(self) -> None:
        live = [(spec.run_id, spec.attempt) for spec in self.launcher.live()]
        assert len({run for run, _ in live}) == len(live) <= SLOTS
        everything = [(spec.run_id, spec.attempt) for spec in self.launcher.started]
        assert len(set(everything)) == len(everything)
        with self.bench.database.reading() as session:
            runs = {run.id: run for run in session.scalars(select(RunRow))}
        places = [runs[run].slot for run, _ in live]
        assert None not in places
        assert len(set(places)) == len(places)
        assert {runs[run].attempt for run, _ in live} <= {number for _, number in live}

    def _come_to_rest(self) -> None:
        """Let everything happen that is to happen, without further trouble."""
        for _ in range(4 * MOST_RUNS):
            self.bench.round(later=400)
            self.nobody_trains_twice()
            with self.bench.database.reading() as session:
                idle = free_slots(session, self.bench.settings.slots)
                assert not (idle and queued_runs(session)), "a run waits, and a slot is free"
            for sim in self._live_sims():
                self._finish(sim)
        self.bench.round(later=400)
        assert self.launcher.live() == []
        with self.bench.database.reading() as session:
            runs = list(session.scalars(select(RunRow)))
        assert {run.id for run in runs} == set(self.wanted)
        for run in runs:
            told = f"{run.id} is {run.status}: {run.error}; wanted: {self.wanted[run.id]}"
            if run.id in self.finished:
                assert run.status is RunStatus.FINISHED, told
            elif self.wanted[run.id] == "stop":
                assert run.status is RunStatus.STOPPED, told
            elif self.wanted[run.id] == "suspend":
                assert run.status is RunStatus.SUSPENDED, told
            else:
                assert run.status in ENDED, told
            assert run.slot is None, told


TestReconciler = ReconcilerMachine.TestCase
TestReconciler.settings = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
