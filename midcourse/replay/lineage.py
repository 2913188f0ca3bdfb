"""The way of a run from step 0: which commands of which ancestors' journals belong to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from midcourse.contract.base import strict_json_loads
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.journal import Intent
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.runs import RunFile
from midcourse.errors import JournalUnusable
from midcourse.journal import Journal
from midcourse.replay.states import newest_manifest, read_manifest


@dataclass(frozen=True)
class Stretch:
    """The part of one run's journal that belongs to a way."""

    paths: RunPaths
    run_file: RunFile
    journal: Journal
    fork: Manifest | None
    """The checkpoint at which the next run of the way branched off; None of the last run."""

    def acted(self) -> Iterator[tuple[Intent, Receipt | None]]:
        """The intents that acted on the way, in order; the receipt that a crash took is None."""
        intents = self.journal.intents
        # The state at a fork holds what acted up to there, whether or not its outcome was written.
        newest = self.fork or newest_manifest(self.paths)
        certain = newest.journal_position if newest is not None else 0
        for intent in intents if self.fork is None else intents[:certain]:
            receipt = self.journal.outcomes.get(intent.position)
            if receipt is None and intent.position <= certain:
                yield intent, None
            elif receipt is not None and receipt.state is CommandState.APPLIED:
                yield intent, receipt


def trace(home: Path, run_id: str) -> list[Stretch]:
    """The way of a run, its oldest ancestor first.

    Raises:
        JournalUnusable: the run, one of its ancestors, or a checkpoint where one branched off is
            missing or damaged; names it.
    """
    way: list[Stretch] = []
    fork: Manifest | None = None
    wanted, why = run_id, ""
    while True:
        paths = RunPaths(home, wanted)
        if wanted in {stretch.run_file.id for stretch in way}:
            raise JournalUnusable(f"run {wanted} is its own ancestor; its run.json was altered")
        run_file = _read_run_file(paths, why)
        journal = Journal(paths.journal)
        if fork is not None and fork.journal_position > journal.position:
            raise JournalUnusable(
                f"{paths.journal} has {journal.position} of the {fork.journal_position} commands "
                f"that the checkpoint {fork.checkpoint.name} of run {wanted} includes"
            )
        way.append(Stretch(paths, run_file, journal, fork))
        origin = run_file.origin
        if origin is None:
            return way[::-1]
        why = f", from which run {wanted} came"
        fork = read_manifest(RunPaths(home, origin.run), origin.checkpoint, wanted)
        wanted = origin.run


def _read_run_file(paths: RunPaths, why: str) -> RunFile:
    try:
        return RunFile.model_validate(strict_json_loads(paths.run_file.read_bytes()))
    except FileNotFoundError:
        raise JournalUnusable(f"there is no run {paths.folder.name}{why} in {paths.home}") from None
    except (OSError, ValueError) as error:
        raise JournalUnusable(f"{paths.run_file} is damaged: {error}") from error
