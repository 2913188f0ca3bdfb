"""From what somebody wants to see to a page, with the records that it is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dashboards.home import NothingToShow, read_experiment, read_run
from dashboards.pages import comparison, monitor, what_changed, workspace
from dashboards.panels import Page
from dashboards.records import Experiment, Run

MOST_RUNS: Final = 12
"""So many runs of an experiment get pages of their own when all of it is published."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """Which page: an experiment's comparison unless something else is named."""

    experiment: str | None = None
    run: str | None = None
    """The monitor of one run."""
    fork: str | None = None
    """What a fork's change did."""
    workspace: bool = False
    """Everything that the experiment's runs log."""


@dataclass(frozen=True)
class Made:
    """A page and the runs that it names."""

    page: Page
    runs: Sequence[Run]
    file_name: str
    """For a file of it: safe in any file system, without an ending."""
    faults: Sequence[str] = ()
    """Runs that could not be read, in words."""


def make(home: Path, wanted: Wanted) -> Made:
    """Read what is needed from a home, and make the page.

    Raises:
        NothingToShow: no such experiment or run logged anything, or the run is no fork.
    """
    if wanted.run is not None:
        run = _of(read_run(home, wanted.run), wanted)
        return Made(monitor(run), [run], run.id)
    if wanted.fork is not None:
        child = _of(read_run(home, wanted.fork), wanted)
        parent = _parent(home, child)
        return Made(what_changed(child, parent), [parent, child], f"{child.id}-{parent.id}")
    assert wanted.experiment is not None, "whoever asks names an experiment, or a run"
    experiment = read_experiment(home, wanted.experiment)
    if wanted.workspace:
        page, file_name = workspace(experiment), f"{experiment.name}-workspace"
    else:
        page, file_name = comparison(experiment.runs, experiment.faults), experiment.name
    return Made(page, experiment.runs, file_name, experiment.faults)


@dataclass(frozen=True)
class Making:
    """Pages that belong together."""

    pages: Sequence[Made]
    runs: Sequence[Run]
    """All that they name, each once."""
    notes: Sequence[str] = ()
    """What could not be read, or was left out, in words."""
    older: Sequence[Made] = ()
    """Of runs that were not heard of lately: those of them that were published once are kept up to
    date, or one that ended since would be called running there for ever."""


def make_all(home: Path, wanted: Wanted) -> Making:
    """Every page of an experiment; or the one that is wanted, where one is named.

    The workspace, the comparison, and of the `MOST_RUNS` runs that were heard of last the monitor,
    and what their change did of those that are forks.

    Raises:
        NothingToShow: no such experiment or run logged anything, or the run is no fork.
    """
    if wanted.run is not None or wanted.fork is not None or wanted.workspace:
        made = make(home, wanted)
        return Making([made], made.runs, made.faults)
    assert wanted.experiment is not None, "whoever asks names an experiment, or a run"
    experiment = read_experiment(home, wanted.experiment)
    runs, faults = experiment.runs, experiment.faults
    newest = sorted(runs, key=lambda run: (run.last_seen or _NEVER, run.id))[-MOST_RUNS:]
    others = [run for run in runs if run not in newest]
    pages = [
        Made(workspace(experiment), runs, experiment.name),
        Made(comparison(runs, faults), runs, experiment.name),
        *_own_pages([run for run in runs if run in newest], home, experiment),
    ]
    told = (
        f"of {len(runs)} runs, the {MOST_RUNS} heard of last get pages of their own; --run and "
        "--fork make those of others"
    )
    notes = [*faults, *([told] if others else [])]
    return Making(pages, _named_by(pages), notes, _own_pages(others, home, experiment))


def _own_pages(runs: Sequence[Run], home: Path, experiment: Experiment) -> list[Made]:
    changes = [_change_of(run, home, experiment) for run in runs]
    return [
        *(Made(monitor(run), [run], run.id) for run in runs),
        *(page for page in changes if page is not None),
    ]


def _change_of(child: Run, home: Path, experiment: Experiment) -> Made | None:
    """What a fork's change did; None: it is none, or its parent is gone."""
    if child.origin is None:
        return None
    try:
        parent = experiment.run(child.origin.run) or read_run(home, child.origin.run)
    except NothingToShow:
        return None
    return Made(what_changed(child, parent), [parent, child], f"{child.id}-{parent.id}")


def _named_by(pages: Sequence[Made]) -> list[Run]:
    return list({run.id: run for page in pages for run in page.runs}.values())


def _of(run: Run, wanted: Wanted) -> Run:
    if wanted.experiment is not None and run.experiment != wanted.experiment:
        raise NothingToShow(
            f"run {run.id} is of the experiment {run.experiment!r}, not {wanted.experiment!r}"
        )
    return run


def _parent(home: Path, child: Run) -> Run:
    if child.origin is None:
        raise NothingToShow(f"run {child.id} is no fork, so there is nothing to compare it with")
    try:
        return read_run(home, child.origin.run)
    except NothingToShow:
        raise NothingToShow(
            f"run {child.id} came from {child.origin.run}, which is not in {home} any more"
        ) from None
