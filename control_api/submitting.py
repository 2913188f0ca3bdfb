"""Submitting: new runs for the queue, one or a sweep; all of them or none."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from control_api.asking import Made, Requester, record
from control_api.configs import check_experiment
from control_api.container_settings import ContainerSettings
from control_api.database import Database
from control_api.settings import Settings
from control_api.sweeps import Variant, is_sweep, name_of, variants
from control_api.tables import RunRow
from midcourse.contract.api.submissions import SubmitRun
from midcourse.contract.base import utc_now
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.names import new_run_id, new_sweep_id
from midcourse.contract.runs import RunStatus

DEFAULT_EXPERIMENT = "default"


def plan_runs(settings: Settings, wanted: SubmitRun) -> list[RunRow]:
    """The runs that a submission asks for, not stored yet.

    Args:
        settings: which images runs may bring.
        wanted: the submission.

    Raises:
        InvalidInput: with every fault of every configuration. What the trainer's parameters may
            be is not looked at: each trainer checks its own.
    """
    found = variants(wanted)
    faults = faults_of_image(settings.containers, wanted.image, wanted.command)
    experiments = [_experiment(wanted, variant, faults) for variant in found]
    if faults:
        raise InvalidInput([fault for n, fault in enumerate(faults) if fault not in faults[:n]])
    sweep = new_sweep_id() if is_sweep(wanted) else None
    now = utc_now()
    return [
        RunRow(
            id=new_run_id(),
            experiment=experiment,
            name=name_of(wanted, variant),
            config={**variant.config, "experiment": experiment},
            status=RunStatus.QUEUED,
            priority=wanted.priority,
            tags=list(wanted.tags),
            notes=wanted.notes,
            sweep=sweep,
            image=wanted.image,
            command=wanted.command,
            # A microsecond apart: the queue, which goes by age, keeps the order.
            created_at=now + timedelta(microseconds=number),
        )
        for number, (variant, experiment) in enumerate(zip(found, experiments, strict=True))
    ]


def submit_runs(database: Database, runs: list[RunRow], by: Requester) -> Made:
    """Store runs, in one transaction.

    Returns:
        The first of them.
    """
    with database.writing() as session:
        for run in runs:
            run.created_by = by.actor
        session.add_all(runs)
        session.flush()
        for run in runs[1:]:
            record(session, by.without_key(), "submit", run)
        return record(session, by, "submit", runs[0])


def runs_of_sweep(session: Session, sweep: str) -> list[RunRow]:
    """All runs of a sweep, in the order in which they were asked for."""
    query = select(RunRow).where(RunRow.sweep == sweep).order_by(RunRow.created_at, RunRow.id)
    return list(session.scalars(query))


def faults_of_image(
    containers: ContainerSettings | None, image: str | None, command: list[str] | None
) -> list[Fault]:
    """What is wrong with the image, or the command, that a run brings."""
    if containers is None:
        message = (
            "is for runs in containers, and this control API starts trainers as processes; "
            "MIDCOURSE_LAUNCHER=docker would change that"
        )
        given = {"image": image, "command": command}
        return [Fault(path=name, message=message) for name in given if given[name] is not None]
    if image is None or containers.allows(image):
        return []
    allowed = [containers.image, *containers.allowed_images]
    message = (
        f"{image!r} is not allowed here; MIDCOURSE_ALLOWED_IMAGES says which are: "
        f"{', '.join(allowed)}"
    )
    return [Fault(path="image", message=message, allowed=list(allowed))]


def _experiment(wanted: SubmitRun, variant: Variant, faults: list[Fault]) -> str:
    """The experiment of a configuration, which may stand beside it or in it."""
    inside = variant.config.get("experiment")
    if wanted.experiment is not None and inside not in (None, wanted.experiment):
        message = (
            f"is {wanted.experiment!r}, and {variant.where}.experiment is {inside!r}: give one of "
            "them"
        )
        faults.append(Fault(path="experiment", message=message))
        return wanted.experiment
    name = wanted.experiment or inside or DEFAULT_EXPERIMENT
    try:
        return check_experiment(name, f"{variant.where}.experiment")
    except InvalidInput as error:
        faults += error.faults
        return DEFAULT_EXPERIMENT
