"""Forks of checkpoints in W&B: new runs that wait until theirs is here.

What the run is that they come from is told by the checkpoint. Where it is not known here yet, a
fork has until then only what differs from it: its configuration is the patch, and it has no parent.
"""

from typing import Any

from sqlalchemy.orm import Session

from control_api.asking import Made, Requester, record
from control_api.children import new_child
from control_api.configs import check_experiment, merge_patch
from control_api.database import Database
from control_api.live import check_live, check_unseen
from control_api.problems import NoWandbKey
from control_api.settings import Settings
from control_api.submitting import DEFAULT_EXPERIMENT, faults_of_image
from control_api.tables import CheckpointRow, RunRow
from midcourse.contract.api.branches import ForkFromWandb
from midcourse.contract.base import utc_now
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.imported import FetchedCheckpoint
from midcourse.contract.names import new_run_id
from midcourse.contract.runs import RunFile, RunStatus
from midcourse.contract.wandb_source import WandbSource, parse_source


def fork_from_wandb(
    database: Database, settings: Settings, wanted: ForkFromWandb, by: Requester
) -> Made:
    """Make a run that starts from a checkpoint in W&B, once that is here.

    Raises:
        InvalidInput: with every fault; nothing was made.
        NoWandbKey: the checkpoint could not be fetched.
    """
    source = _check(settings, wanted)
    if not settings.wandb.has_key:
        raise NoWandbKey("fetch a checkpoint from W&B", ".")
    with database.writing() as session:
        parent = session.get(RunRow, source.run, with_for_update={"key_share": True})
        if parent is not None and parent.deleted_at is None:
            child = _of_known(session, parent, wanted, by)
        else:
            child = _of_unknown(session, wanted, by)
        child.source = str(source)
        return record(session, by, "fork", child)


def _check(settings: Settings, wanted: ForkFromWandb) -> WandbSource:
    faults = faults_of_image(settings.containers, wanted.image, wanted.command)
    source = None
    try:
        source = parse_source(wanted.source, settings.wandb.url)
    except ValueError as error:
        faults.append(Fault(path="source", message=str(error)))
    if (experiment := wanted.config.get("experiment")) is not None:
        try:
            check_experiment(experiment)
        except InvalidInput as error:
            faults += error.faults
    if faults or source is None:
        raise InvalidInput(faults)
    return source


def _of_known(session: Session, parent: RunRow, wanted: ForkFromWandb, by: Requester) -> RunRow:
    config = merge_patch(parent.config, wanted.config)
    experiment = check_experiment(config.setdefault("experiment", parent.experiment))
    edited = config != parent.config
    columns = {
        "name": wanted.name,
        "experiment": experiment,
        "config": config,
        "parent_id": parent.id,
        "changes": check_live(parent, wanted.changes, "changes.", edited=edited),
        "warm_start": edited,
        "image": wanted.image or parent.image,
        "command": wanted.command or parent.command,
    }
    return new_child(session, parent, new_run_id(), by.actor, **columns)


def _of_unknown(session: Session, wanted: ForkFromWandb, by: Requester) -> RunRow:
    child = RunRow(
        id=new_run_id(),
        experiment=wanted.config.get("experiment") or DEFAULT_EXPERIMENT,
        name=wanted.name,
        config=wanted.config,
        status=RunStatus.QUEUED,
        created_by=by.actor,
        created_at=utc_now(),
        changes=check_unseen(wanted.changes, "changes."),
        image=wanted.image,
        command=wanted.command,
    )
    session.add(child)
    session.flush()
    return child


def begin_from(session: Session, child: RunRow, fetched: FetchedCheckpoint) -> None:
    """Have a fork go on from the checkpoint that is here now, and is pinned for it.

    Raises:
        InvalidInput: the name of an experiment that comes of it is none.
    """
    run_file, checkpoint = fetched.run_file, fetched.checkpoint
    parent = session.get(RunRow, run_file.id, with_for_update={"key_share": True})
    if parent is None:
        parent = _import(session, fetched, child.created_by)
    if parent.deleted_at is None:
        _learn_checkpoint(session, parent, fetched)
    if child.parent_id is None:
        original = _config_of(run_file)
        config = merge_patch(original, child.config)
        child.experiment = check_experiment(config.setdefault("experiment", run_file.experiment))
        child.config = config
        child.warm_start = child.config != original
        child.parent_id = parent.id
    child.parent_checkpoint = checkpoint.name
    child.pinned = True


def _config_of(run_file: RunFile) -> dict[str, Any]:
    """As the control API keeps configurations: with the experiment in them.

    The field's own: what a foreign configuration calls so may be anything.
    """
    return {**run_file.config, "experiment": run_file.experiment}


def _import(session: Session, fetched: FetchedCheckpoint, actor: str) -> RunRow:
    """The row of a run that was trained elsewhere: what its checkpoint tells of it."""
    run_file = fetched.run_file
    entity, project, _ = fetched.artifact.split("/")
    source = WandbSource(entity=entity, project=project, run=run_file.id)
    parent = RunRow(
        id=run_file.id,
        experiment=run_file.experiment,
        name=_one_line(run_file.name or "") or None,
        config=_config_of(run_file),
        status=RunStatus.IMPORTED,
        source=source.place,
        created_by=actor,
        created_at=utc_now(),
    )
    session.add(parent)
    session.flush()
    return parent


def _one_line(name: str) -> str:
    """A name from elsewhere as `RunName` has them."""
    return "".join(letter if letter.isprintable() else " " for letter in name)[:200].strip()


def _learn_checkpoint(session: Session, parent: RunRow, fetched: FetchedCheckpoint) -> None:
    checkpoint = fetched.checkpoint
    row = session.get(CheckpointRow, (parent.id, checkpoint.name))
    if row is None:
        session.add(
            CheckpointRow(
                run_id=parent.id,
                name=checkpoint.name,
                step=checkpoint.step,
                best=checkpoint.best,
                record=checkpoint.model_dump(mode="json"),
            )
        )
    else:
        row.deleted_at = None
    is_news = parent.step is None or checkpoint.step >= parent.step
    if parent.status is RunStatus.IMPORTED and is_news:
        parent.step = checkpoint.step
        parent.latest = {
            name: [checkpoint.step, value] for name, value in checkpoint.metrics.items()
        }
        parent.live_values = {
            name: value for name, value in fetched.parameters.items() if value is not None
        }
