"""`midcourse checkpoints`: what a run can be forked from."""

import click

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import ago, number, show_record, show_table, size
from midcourse.contract.api.checkpoints import CheckpointsAnswer
from midcourse.contract.names import Metric


@click.command()
@run_argument
@common
def checkpoints(said: Common, run: str) -> None:
    """The checkpoints that are on disk; `midcourse fork RUN@NAME` takes one, or RUN@best."""
    client = said.client
    found = client.checkpoints(client.find(run))
    if said.as_json:
        show_record(CheckpointsAnswer(checkpoints=found))
        return
    rows = [
        [
            record.name,
            str(record.step),
            f"{record.reason}{', best' if record.best else ''}",
            number(record.metrics.get(Metric.TEST_ACCURACY)),
            size(record.bytes),
            ago(record.created_at),
            record.state_hash[:12],
        ]
        for record in found
    ]
    show_table(("NAME", "STEP", "REASON", "ACCURACY", "SIZE", "AGE", "STATE"), rows)
