"""`midcourse audit`: who asked for what, and what came of it."""

from datetime import datetime

import click

from midcourse.cli.options import Common, common
from midcourse.cli.printing import clock, show_record, show_table
from midcourse.contract.api.audit import AuditEntry, Outcome


@click.command()
@click.option("--actor", metavar="NAME", help="Only what this one asked for.")
@click.option("--run", "run", metavar="ID", help="Only what was about this run.")
@click.option("--outcome", type=click.Choice([outcome.value for outcome in Outcome]))
@click.option("--since", type=click.DateTime(), help="From this time on, in your own time.")
@click.option("--until", type=click.DateTime(), help="Before this time.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, metavar="N")
@click.option("--all", "everything", is_flag=True, help="All of it, the oldest first.")
@common
def audit(
    said: Common,
    actor: str | None,
    run: str | None,
    outcome: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    everything: bool,
) -> None:
    """Who asked for what, from where, and what came of it; the newest first.

    An admin's token is needed. With --json, one entry a line.
    """
    client = said.client
    since = since.astimezone() if since else None
    until = until.astimezone() if until else None
    run_id = client.find(run) if run else None
    if everything:
        entries = client.download_audit(
            actor=actor, run=run_id, outcome=outcome, since=since, until=until
        )
    else:
        page = client.audit(
            actor=actor, run=run_id, outcome=outcome, since=since, until=until, limit=limit
        )
        entries = iter(page.entries)
    if said.as_json:
        for entry in entries:
            show_record(entry)
        return
    heads = ("WHEN", "WHO", "FROM", "WHAT", "RUN", "OUTCOME", "STATUS")
    show_table(heads, [_row(entry) for entry in entries])


def _row(entry: AuditEntry) -> list[str]:
    what = entry.action or f"{entry.method or ''} {entry.path or ''}".strip()
    return [
        clock(entry.at),
        entry.actor or "nobody",
        entry.address or "",
        f"{what} {entry.subject}" if entry.subject else what,
        f"{entry.run}:{entry.seq}" if entry.run and entry.seq is not None else entry.run or "",
        str(entry.outcome),
        "" if entry.status is None else str(entry.status),
    ]
