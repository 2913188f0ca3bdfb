"""Finds experiments and runs below a home, and reads them into records."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from dashboards.records import Experiment, Run
from dashboards.run_log import read_run_log
from midcourse.contract.checkpoints import CheckpointRecord, Manifest
from midcourse.contract.errors import MidcourseError, first_line
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunFile, RunLabels, RunStatus, TrackingStatus

Beside = TypeVar("Beside", RunLabels, TrackingStatus)


class NothingToShow(MidcourseError):
    """No such experiment or run has logged anything; the text says which have."""


def experiment_names(home: Path) -> list[str]:
    """The experiments that have a run with a log, in alphabetical order."""
    return sorted({file.experiment for file, _ in _run_files(home, [])})


def read_experiment(home: Path, name: str) -> Experiment:
    """All runs of an experiment that logged something.

    A run that cannot be read is told in the record's `faults`; deleted ones are not there.

    Args:
        home: the folder of all runs.
        name: of the experiment.

    Raises:
        NothingToShow: no run of it has logged anything.
    """
    faults: list[str] = []
    runs = []
    for file, paths in _run_files(home, faults):
        if file.experiment == name:
            try:
                runs.append(_read(file, paths))
            except OSError as error:
                faults.append(f"run {file.id} is left out: {first_line(error)}")
    if not runs:
        raise NothingToShow(_no_experiment(home, name, faults))
    runs.sort(key=lambda run: (run.begun or datetime.max.replace(tzinfo=UTC), run.id))
    return Experiment(name, tuple(runs), tuple(faults))


def read_run(home: Path, name: str) -> Run:
    """One run.

    Args:
        home: the folder of all runs.
        name: its id, what people call it now, or what it was called when it was made.

    Raises:
        NothingToShow: there is no such run here, or several of that name, or it has logged
            nothing, or cannot be read.
    """
    faults: list[str] = []
    there = {file.id: (file, paths) for file, paths in _run_files(home, faults)}
    named = [] if name in there else _called(name, there.values())
    if len(named) > 1:
        raise NothingToShow(f"{name!r} may be any of {', '.join(named)}: give the id")
    found = there.get(name) or (there[named[0]] if named else None)
    if found is None:
        known = ", ".join(sorted(there)) or "none"
        text = f"no run {name!r} has logged anything in {home}; there are: {known}"
        raise NothingToShow("; ".join([text, *faults]))
    try:
        return _read(*found)
    except OSError as error:
        raise NothingToShow(f"run {found[0].id} cannot be read: {first_line(error)}") from None


def _called(name: str, there: Iterable[tuple[RunFile, RunPaths]]) -> list[str]:
    """The ids of the runs of that name; of runs that were renamed, where none has it now."""
    now, once = [], []
    for file, paths in there:
        called = _labels(paths, []).name or file.name
        now += [file.id] if called == name else []
        once += [file.id] if file.name == name else []
    return now or once


def _run_files(home: Path, faults: list[str]) -> Iterator[tuple[RunFile, RunPaths]]:
    """Every run that has a log. What a deleted run left for others has none."""
    folder = RunPaths(home, "-").folder.parent
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        paths = RunPaths(home, entry.name)
        if not paths.run_log.is_file():
            continue
        try:
            file = RunFile.model_validate_json(paths.run_file.read_bytes())
        except (OSError, ValidationError) as error:
            faults.append(f"run {entry.name} is left out: its run.json says: {first_line(error)}")
            continue
        if file.id == entry.name:
            yield file, paths
        else:
            faults.append(f"the folder {entry.name} is left out: it is a copy of run {file.id}")


def _read(file: RunFile, paths: RunPaths) -> Run:
    log = read_run_log(paths.run_log)
    faults = list(log.faults)
    last = log.status
    return Run(
        file=file,
        folder=paths.folder,
        status=last.status if last is not None else RunStatus.RUNNING,
        reason=last.reason if last is not None else None,
        last_step=log.last_step,
        total_steps=log.total_steps,
        attempts=tuple(log.attempts),
        last_seen=datetime.fromtimestamp(log.last_seen, UTC) if log.last_seen else None,
        series=log.series,
        values=log.values,
        interventions=tuple(log.interventions),
        media=log.media.by_name(),
        checkpoints=log.checkpoints,
        summary=log.summary,
        notices=tuple(log.notices),
        versions=_versions(paths, log.checkpoints),
        labels=_labels(paths, faults),
        tracking=_tracking(paths, faults),
        faults=tuple(faults),
    )


def _versions(paths: RunPaths, checkpoints: tuple[CheckpointRecord, ...]) -> dict[str, str]:
    """Of the programs that wrote the newest checkpoint that still has its manifest."""
    for record in reversed(checkpoints):
        try:
            text = (paths.checkpoint(record.name) / "manifest.json").read_bytes()
            return dict(Manifest.model_validate_json(text).versions)
        except (OSError, ValidationError):
            continue  # deleted meanwhile, or of another format: an older one may tell
    return {}


def _labels(paths: RunPaths, faults: list[str]) -> RunLabels:
    return _beside(paths, paths.labels, RunLabels, faults) or RunLabels()


def _tracking(paths: RunPaths, faults: list[str]) -> TrackingStatus | None:
    return _beside(paths, paths.tracking_status, TrackingStatus, faults)


def _beside(paths: RunPaths, path: Path, kind: type[Beside], faults: list[str]) -> Beside | None:
    """A file that a run may have beside its log; None where there is none that can be used."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        faults.append(f"{path.relative_to(paths.folder)} is not used: {first_line(error)}")
        return None


def _no_experiment(home: Path, name: str, faults: list[str]) -> str:
    if not home.is_dir():
        return f"there is no home at {home}; say where the runs are with --home or MIDCOURSE_HOME"
    known = ", ".join(experiment_names(home)) or "none"
    text = f"no run of the experiment {name!r} has logged anything in {home}; there are: {known}"
    return "; ".join([text, *faults])
