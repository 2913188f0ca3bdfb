"""`/forks`: runs that start from a checkpoint in W&B, also of a run that was never here."""

from flask import Response

from control_api.answers import Gives
from control_api.awaiting import NEW_RUN_PROBLEMS, answer_new_run
from control_api.context import context
from control_api.forks_from_wandb import fork_from_wandb
from control_api.idempotency import make_once
from control_api.problems import NoWandbKey
from control_api.resource import Resource
from midcourse.contract.api.branches import ForkFromWandb
from midcourse.contract.api.runs import RunView
from midcourse.contract.roles import Role

resource = Resource("forks", "Forks of checkpoints in W&B.")

_ACCEPTED = Gives(
    RunView, 202, "The new run; its checkpoint is still to come.", headers=("Location",)
)


@resource.post("/forks", _ACCEPTED, problems=[*NEW_RUN_PROBLEMS, NoWandbKey], role=Role.ADMIN)
def fork_from(body: ForkFromWandb, wait: int) -> Response:
    """Make a new run from a checkpoint that a run has logged to W&B, here or anywhere else.

    The checkpoint is fetched and verified in the background; the run is queued, and `waits_for`
    says so. `Prefer: wait=N` waits until it trains, or is known not to.
    """
    here = context()
    made = make_once(lambda by: fork_from_wandb(here.database, here.settings, body, by))
    return answer_new_run(made, wait, status=202)
