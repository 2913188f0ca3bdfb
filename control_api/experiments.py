"""Experiments: what the runs that belong to each come to."""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from control_api.problems import UnknownExperiment
from control_api.tables import RunRow
from midcourse.contract.api.experiments import ExperimentView
from midcourse.contract.runs import RunStatus


def list_experiments(session: Session, archived: str) -> list[ExperimentView]:
    """All that have runs, the one with the latest activity first.

    Args:
        session: on the database.
        archived: which runs count: `false`, `true` or `any`, as in a list of runs.
    """
    times = (RunRow.created_at, RunRow.started_at, RunRow.heartbeat_at, RunRow.ended_at)
    query = (
        select(
            RunRow.experiment,
            RunRow.status,
            func.count(),
            func.min(RunRow.created_at),
            *(func.max(time) for time in times),
        )
        .where(RunRow.deleted_at.is_(None))
        .group_by(RunRow.experiment, RunRow.status)
    )
    if archived != "any":
        is_archived = RunRow.archived_at.is_not(None)
        query = query.where(is_archived if archived == "true" else ~is_archived)
    statuses: dict[str, dict[RunStatus, int]] = defaultdict(dict)
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for name, status, count, begun, *latest in session.execute(query):
        statuses[name][status] = count
        first[name] = min(begun, first.get(name, begun))
        last[name] = max(filter(None, [*latest, last.get(name)]))
    return [
        ExperimentView(
            name=name,
            runs=sum(statuses[name].values()),
            statuses=dict(sorted(statuses[name].items())),
            created_at=first[name],
            active_at=last[name],
        )
        for name in sorted(last, key=lambda name: (last[name], name), reverse=True)
    ]


def require(session: Session, name: str) -> None:
    """Do nothing where the experiment has runs.

    Raises:
        UnknownExperiment: it has none.
    """
    wanted = select(RunRow.id).where(RunRow.experiment == name, RunRow.deleted_at.is_(None))
    if session.scalar(wanted.limit(1)) is None:
        raise UnknownExperiment(f"No run is of an experiment {name!r}.")
