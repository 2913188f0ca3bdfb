"""One run and what takes its place, watched by the oracle: its process, its link, its end."""

import shutil
from collections import Counter
from pathlib import Path

from truth_api import SteeringApi
from truth_oracle import Oracle
from truth_records import check_agreement, read_log
from truth_trainer import Tail, Trainer, wait_for

from midcourse.contract.commands import Command, TakeCheckpoint
from midcourse.contract.paths import RunPaths
from midcourse.contract.records import Metrics, Started, StatusChanged
from midcourse.contract.runs import RunStatus
from midcourse.journal import Journal

OVER = frozenset({RunStatus.FINISHED, RunStatus.STOPPED})


class Steered:
    """One run and what takes its place, from its first step to its end."""

    def __init__(self, home: Path, api: SteeringApi, first: str) -> None:
        self.home = home
        self.api = api
        self.first = first
        self.attempts = 0
        self.posted: Counter[tuple[str, int]] = Counter()
        """How often the present process was given each command."""
        self._posts = Tail(home / "posted.jsonl")
        self.kills = 0
        self.oracle = Oracle(home, first)
        home.mkdir(parents=True)
        self._logs: dict[str, Tail] = {}
        self._statuses: dict[str, RunStatus] = {}
        self._reported: dict[str, int] = {}
        self._linked = True
        self.start()
        [started] = [it for it in read_log(home, first) if isinstance(it, Started)]
        self.oracle.begin(started.values)

    # -- the process --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process, or start it again after its death."""
        self.attempts += 1
        self._is_buried = False
        self._posts.records()
        self.posted.clear()
        run = self.api.current(self.first)
        self.trainer = Trainer(self.home, self.api.url, run, self.attempts)
        wait_for(self._is_up, "the process has begun")

    def _is_up(self) -> bool:
        self.trainer.look()
        return self.is_at_rest() if self.oracle.run is not None else self.trainer.is_ready

    @property
    def run(self) -> str:
        """The run that trains."""
        assert self.oracle.run is not None
        return self.oracle.run.id

    @property
    def is_gone(self) -> bool:
        """Whether there is no process that could go on."""
        return self.trainer.is_dead or self.trainer.is_over

    def is_at_rest(self) -> bool:
        """Whether nothing more happens until it is told to: held, dead, over, or before a step."""
        self.trainer.look()
        self._read()
        if self.is_gone or self.trainer.is_ready:
            return True
        assert self.oracle.run is not None
        is_held = self.status is RunStatus.PAUSED and not self.oracle.run.stopped
        return is_held and not self._unheard(self.run)

    def rest(self) -> None:
        """Wait until it is at rest; take note of its death."""
        wait_for(self._is_at_rest_or_stuck, f"run {self.run} is at rest")
        if self.trainer.is_dead and not self._is_buried:
            self._is_buried = True
            self._bury()

    def _is_at_rest_or_stuck(self) -> bool:
        at_rest = self.is_at_rest()
        if not at_rest and not self._linked and self.status in (OVER | {RunStatus.FAILED}):
            self.link()  # its end waits for the API
        return at_rest

    def _read(self) -> None:
        if self.oracle.run is None:
            return
        for said in self._posts.records():
            self.posted[said["run"], said["seq"]] += 1
        self.oracle.observe()

    @property
    def status(self) -> RunStatus | None:
        """What the run's log on the disk says last."""
        run = self.run
        tail = self._logs.setdefault(run, Tail(RunPaths(self.home, run).run_log))
        for line in tail.lines():
            if b'"type":"status"' in line:
                self._statuses[run] = StatusChanged.model_validate_json(line).status
            elif b'"type":"started"' in line:
                self._statuses[run] = RunStatus.RUNNING
        return self._statuses.get(run)

    def _unheard(self, run: str) -> set[int]:
        """Commands that the session has, and that have neither ended nor been put off."""
        known = self.oracle.runs[run]
        acting = {
            intent.command.seq
            for intent, *_ in known.intents.values()
            if isinstance(intent.command.action, TakeCheckpoint)
        }
        posted = {seq for name, seq in self.posted if name == run}
        return posted - known.ended.keys() - known.scheduled - acting

    def _bury(self) -> None:
        """Work out which steps nobody was told of: they were never taken."""
        run = self.run
        self.kills += 1
        steps = [it.step for it in read_log(self.home, run) if isinstance(it, Metrics)]
        journal = Journal(RunPaths(self.home, run).journal)
        steps += [it.step for it in journal.intents]
        steps += [it.receipt.step for it in journal.refusals if it.receipt.step is not None]
        begun = self.oracle.runs[run].begun
        self._reported[run] = max([begun, *steps])
        self.oracle.crashed(run, self._reported[run])
        self.trainer.close()

    def revive(self) -> None:
        """Have a process that can go on, if the run has not ended."""
        self.rest()
        while self.trainer.is_dead and self.status not in OVER:
            self.start()
            self.rest()

    def kill(self) -> None:
        """Kill it, wherever it is."""
        self.rest()
        if not self.is_gone:
            self.trainer.kill()
            self.rest()

    def step(self) -> None:
        """Take a step; what the session had by then must have been dealt with after it."""
        run, at = self.run, self.trainer.next_step
        there = self._unheard(run)
        self.trainer.step()
        self.rest()
        if not self.trainer.is_dead and at >= self._reported.get(run, -1):
            late = there & self._unheard(run)
            assert not late, f"step {at} of {run} is done, and nothing became of {late}"

    # -- the link -----------------------------------------------------------------------------

    def cut(self, how: str) -> None:
        if self._linked:
            self._linked = False
            self.api.cut(how)

    def link(self) -> None:
        if not self._linked:
            self._linked = True
            self.api.restore()

    @property
    def hears(self) -> bool:
        """Whether commands come through."""
        return self._linked and not self.is_gone

    def wait_for_news(self) -> None:
        """Wait until the API knows which run trains."""
        wait_for(
            lambda: self.api.current(self.first) == self.run or self._is_lost(),
            f"the API knows of {self.run}",
        )

    def _is_lost(self) -> bool:
        self.trainer.look()
        return self.is_gone

    def wait_for_post(self, commands: list[Command], times: int) -> None:
        """Wait until the session was given commands so many times."""

        def arrived() -> bool:
            there = all(self.posted[each.run, each.seq] >= times for each in commands)
            if there or self._is_lost():
                return True
            self._read()
            return commands[0].run != self.run

        wait_for(arrived, f"commands {[each.seq for each in commands]} arrived {times} times")

    # -- the end ------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        return self.trainer.is_over or (self.trainer.is_dead and self.status in OVER)

    def check_end(self) -> Counter[tuple[str, str]]:
        """All that was said of the run and of those that it took the place of must agree.

        Returns:
            How often each kind of command came to which end.
        """
        self.oracle.observe()
        last = self.oracle.run
        assert last is not None
        wanted = "finished" if not last.stopped else "stopped"
        assert self.status is not None
        assert self.status.value == wanted
        if wanted == "finished":
            place = last.place
            assert place.is_epoch_end
            assert place.epoch + 1 >= place.values["train.epochs"]
        tally = Counter(self.oracle.tally)
        for run in self.oracle.runs.values():
            if self.trainer.is_dead:
                self.api.read_folder(RunPaths(self.home, run.id))
            sent = [each for each in self.api.commands if each.run == run.id]
            left = check_agreement(self.home, run, sent, bytes(self.api.logs[run.id]))
            for each in sent:
                if each.seq in left:
                    tally[each.action.kind, "ended by the API"] += 1
        self.trainer.close()
        shutil.rmtree(self.home)
        return tally
