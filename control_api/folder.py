"""A run's folder, as far as the control API writes and reads it beside the log."""

import json
import logging
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from control_api import slots
from control_api.children import origin_of
from control_api.container_settings import HOME
from control_api.launchers.base import LaunchFailed, RunSpec
from control_api.settings import Settings
from control_api.tables import RunRow
from midcourse.contract import environment
from midcourse.contract.api.submissions import PARAMS
from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import RunLabels, TrackingStatus

log = logging.getLogger(__name__)


def write_params(home: Path, run: RunRow) -> None:
    """The run's configuration as the file that its trainer is started with.

    Raises:
        OSError: it cannot be written.
    """
    file = RunPaths(home, run.id).params_file
    file.parent.mkdir(parents=True, exist_ok=True)
    _put(file, json.dumps(run.config, indent=2) + "\n")


def labels_of(run: RunRow) -> RunLabels:
    """What people call a run by now."""
    return RunLabels(name=run.name, tags=list(run.tags), notes=run.notes or "")


def write_labels(home: Path, run_id: str, labels: RunLabels) -> None:
    """Let the run's tracker know its labels; a run without a folder is told when it starts."""
    file = RunPaths(home, run_id).labels
    if not file.parent.is_dir():
        return
    try:
        _put(file, labels.to_json() + "\n")
    except OSError as error:  # they are in the database, and are written again at the next start
        log.warning("run %s: W&B will not show its labels yet: %s", run_id, error)


def _put(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.{uuid4().hex}.new")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def run_spec(settings: Settings, run: RunRow, token: str, *, held: int | None = None) -> RunSpec:
    """How the present attempt of a run is started. The token is in the environment alone.

    Args:
        settings: of the home, of trainers, and of the slots.
        run: the run; it has a slot.
        token: by which its trainer speaks for it.
        held: it begins paused, as the `resume` of this number is on its way.

    Raises:
        LaunchFailed: it is for a container, and trainers are processes.
    """
    assert run.slot is not None
    inherited = settings.trainer_environment
    if settings.containers is None and (run.image or run.command):
        raise LaunchFailed(
            "it brings an image or a command, which are for containers, and this control API "
            "starts trainers as processes (MIDCOURSE_LAUNCHER)"
        )
    if settings.containers is not None:  # which has its GPU alone, by whatever number
        home, url, of_slot = HOME, settings.containers.api_url, {}
    else:
        home, url = settings.home, settings.url
        of_slot = slots.variables(run.slot, settings.slots, inherited)
    variables = {
        # Threads that wait for work by spinning starve the runs beside them; bits stay the same.
        "OMP_WAIT_POLICY": "PASSIVE",
        **inherited,
        **of_slot,
        environment.HOME: str(home),
        environment.RUN_ID: run.id,
        environment.ATTEMPT: str(run.attempt),
        environment.API_URL: url,
        environment.RUN_TOKEN: token,
        "PYTHONUNBUFFERED": "1",  # the console log is read while it grows
    }
    if run.name is not None:
        variables[environment.RUN_NAME] = run.name
    if origin := origin_of(run):
        variables[environment.ORIGIN] = origin.to_json()
    if run.replay is not None:
        variables[environment.REPLAY] = run.replay
    if held is not None:
        variables[environment.HELD] = str(held)
    return RunSpec(
        run_id=run.id,
        experiment=run.experiment,
        attempt=run.attempt,
        slot=run.slot,
        argv=_argv(settings, run, str(RunPaths(home, run.id).params_file)),
        environment=variables,
        folder=settings.trainer_folder,
        console=RunPaths(settings.home, run.id).console_log,
        image=run.image,
    )


def _argv(settings: Settings, run: RunRow, params: str) -> tuple[str, ...]:
    """The run's own command, with the path of its parameters where it asks for it; or ours."""
    if run.command is not None:
        return tuple(word.replace(PARAMS, params) for word in run.command)
    return (*settings.trainer_command, params)


def read_tracking(home: Path, run_id: str) -> dict[str, Any] | None:
    """What the run's tracker process last said; None where it said nothing that can be read."""
    try:
        text = RunPaths(home, run_id).tracking_status.read_bytes()
        return TrackingStatus.model_validate_json(text).model_dump(mode="json")
    except (OSError, ValidationError):
        return None
