"""`midcourse show`: one run in full."""

import click

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import (
    ago,
    clock,
    number,
    show_facts,
    show_record,
    show_table,
    span,
    value,
)
from midcourse.contract.api.runs import RunView


@click.command()
@run_argument
@common
def show(said: Common, run: str) -> None:
    """One run: where it is, where it comes from, its values and latest metrics."""
    client = said.client
    found = client.run(client.find(run))
    if said.as_json:
        show_record(found)
        return
    show_facts(facts_of(found))
    if found.values:
        click.echo()
        show_table(
            ("PARAMETER", "VALUE"), [(name, value(now)) for name, now in found.values.items()]
        )
    if found.metrics:
        click.echo()
        show_table(
            ("METRIC", "LATEST"), [(name, number(now)) for name, now in found.metrics.items()]
        )


def facts_of(run: RunView) -> list[tuple[str, str]]:
    """What there is to say of a run, beside its numbers."""
    return [
        ("run", run.id),
        ("name", run.name or ""),
        ("experiment", run.experiment),
        ("status", f"{run.status}{', archived' if run.archived_at else ''}"),
        ("waits for", run.waits_for or ""),
        ("error", run.error or ""),
        ("notice", run.notice or ""),
        ("step", progress(run)),
        ("speed", "" if run.steps_per_second is None else f"{run.steps_per_second:.1f} steps/s"),
        ("left", span(run.eta_seconds)),
        ("comes from", origin(run)),
        ("source", run.source or ""),
        ("tags", ", ".join(run.tags)),
        ("notes", run.notes or ""),
        ("slot", run.slot or ""),
        ("in the queue", "" if run.queue_position is None else f"{run.queue_position}."),
        ("priority", str(run.priority) if run.priority else ""),
        ("sweep", run.sweep or ""),
        ("attempt", str(run.attempt)),
        ("checkpoints", str(run.checkpoints)),
        ("W&B", tracking(run)),
        ("made", f"{clock(run.created_at)} by {run.created_by} ({ago(run.created_at)} ago)"),
        ("started", clock(run.started_at)),
        ("ended", clock(run.ended_at)),
        ("summary", ", ".join(f"{name} {number(one)}" for name, one in run.summary.items())),
    ]


def progress(run: RunView) -> str:
    """`500/2760`, counted as steps are: the last one that is complete."""
    if run.step is None:
        return ""
    return str(run.step) if run.total_steps is None else f"{run.step}/{run.total_steps}"


def origin(run: RunView) -> str:
    """Where a run comes from, with what differs."""
    if run.replay is not None:
        return f"a replay of {run.replay}"
    if run.origin is None:
        return ""
    how = "a revert" if run.origin.revert else "a fork"
    differs = [f"{name}={value(new)}" for name, new in run.origin.changes.items()]
    return " ".join(
        [
            f"{how} of {run.origin.run}@{run.origin.checkpoint or '?'} by {run.origin.actor}",
            *differs,
        ]
    )


def tracking(run: RunView) -> str:
    """Where W&B has it."""
    if run.tracking is None:
        return ""
    where = run.tracking.url or run.tracking.folder or run.tracking.mode
    trouble = f" ({run.tracking.error})" if run.tracking.error else ""
    return f"{where}{trouble}"
