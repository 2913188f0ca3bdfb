"""Under which names the tracker logs what a panel shows; docs/wandb.md has all of them."""

from typing import Any, Final

import wandb_workspaces.reports.v2.interface as wr

from dashboards.panels import Column
from midcourse.contract.directions import direction

STEP: Final = "step"
"""The training step: the x-axis of every chart."""
MARKED_LOSS: Final = "loss_with_interventions"
"""The loss with an upright line for each command that acted, which the tracker draws."""
INTERVENTION: Final = "intervention"
"""The number of the command that ended at a step."""
_PARAMETERS = "midcourse.parameters"
_SEED = "midcourse.seed"


def table_of_chart(media: str) -> str:
    """The table behind a custom chart."""
    return f"{media}_table"


def best_of(metric: str) -> str:
    """The summary value by which runs are judged: the best, where the name tells what that is."""
    return f"best/{metric}" if direction(metric) else metric


def axis(column: Column) -> Any:
    """A setting or a result, as an axis of W&B."""
    match column.source:
        case "parameter":
            return wr.Config(f"{_PARAMETERS}.{column.name}")
        case "config":
            return wr.Config(_SEED if column.name == "seed" else column.name)
        case "metric":
            return wr.SummaryMetric(best_of(column.name))
