"""`midcourse experiments`: the experiments, and how their runs stand."""

import click

from midcourse.cli.options import Common, common
from midcourse.cli.printing import ago, show_record, show_table
from midcourse.contract.api.experiments import ExperimentsView


@click.command()
@click.option("--all", "everything", is_flag=True, help="Count archived runs, too.")
@common
def experiments(said: Common, everything: bool) -> None:
    """The experiments, and how many runs of each are in which state."""
    found = said.client.experiments(archived="any" if everything else None)
    if said.as_json:
        show_record(ExperimentsView(experiments=found))
        return
    rows = [
        [
            one.name,
            str(one.runs),
            ", ".join(f"{count} {status}" for status, count in one.statuses.items()),
            ago(one.active_at),
        ]
        for one in found
    ]
    show_table(("EXPERIMENT", "RUNS", "STATUS", "LATEST"), rows)
