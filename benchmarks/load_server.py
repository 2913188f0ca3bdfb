"""The processes of a control API under load, without trainers: `control_load` starts them.

`python -m benchmarks.load_server prepare|web|reconciler PLAN`
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from control_api.columns import Desired
from control_api.database import Database
from control_api.launchers.base import Handle, LaunchStatus, RunSpec
from control_api.settings import Settings
from control_api.tables import AttemptRow, RunRow, TrainerTokenRow
from control_api.tokens import ensure_admin, new_token, sha256
from midcourse.contract.base import utc_now
from midcourse.contract.runs import RunStatus

CONFIG = {
    "experiment": "load",
    "seed": 0,
    "data": {"name": "digits", "batch_size": 64, "augmentation": {"shift": 2, "rotate": 10}},
    "model": {"name": "mlp", "hidden": [256, 128], "dropout": 0.1},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0001},
    "train": {"epochs": 100, "eval_every": "1 epoch", "checkpoint_every": "1000 steps"},
}


class Absent:
    """A launcher whose trainers are all alive: they are simulated elsewhere."""

    name = "absent"

    def submit(self, spec: RunSpec) -> Handle:
        """Start nothing."""
        return {"id": spec.run_id}

    def find(self, run_id: str, attempt: int) -> Handle | None:
        """All that were started live."""
        del attempt
        return {"id": run_id}

    def status(self, handle: Handle) -> LaunchStatus:
        """Alive."""
        del handle
        return LaunchStatus(running=True)

    def stop(self, handle: Handle, *, force: bool = False) -> None:
        """Nobody is asked to."""


def settings_of(plan: dict[str, Any]) -> Settings:
    """The settings of the processes that share a plan."""
    return Settings(
        home=Path(plan["home"]),
        port=plan["port"],
        database_url=plan["database_url"],
        log_level="WARNING",
        workers=plan["workers"],
    )


def prepare(plan: dict[str, Any], runs: int) -> dict[str, str]:
    """Make the tables and the live runs.

    Returns:
        Their ids, with the tokens of their trainers.
    """
    settings = settings_of(plan)
    settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    database.migrate()
    tokens = {f"rload{number:05d}": new_token() for number in range(runs)}
    now = utc_now()
    with database.writing() as session:
        ensure_admin(session, settings.token_file)
        session.add_all(
            RunRow(
                id=run,
                experiment=f"load-{number % 10}",
                name=f"run {number}",
                config=CONFIG | {"seed": number},
                desired=Desired.TRAINED,
                status=RunStatus.STARTING,
                created_by="admin",
                created_at=now,
                started_at=now,
                heartbeat_at=now,
                attempt=1,
                slot=f"cpu:{number}",
            )
            for number, run in enumerate(tokens)
        )
        session.flush()
        session.add_all(
            AttemptRow(run_id=run, number=1, launcher="absent", handle={"id": run}, started_at=now)
            for run in tokens
        )
        session.add_all(
            TrainerTokenRow(sha256=sha256(token), run_id=run) for run, token in tokens.items()
        )
    database.close()
    return tokens


def web(plan: dict[str, Any]) -> None:
    """Serve, in as many workers as the plan says."""
    from control_api import logs
    from control_api.serve import Server, listen

    logs.set_up("WARNING")
    settings = settings_of(plan)
    counts = settings.home / "counts"
    counts.mkdir()
    server = Server(settings, listen(settings), counts)
    if plan["worker_class"] == "gthread":  # what was not chosen
        server.cfg.set("worker_class", "gthread")
        server.cfg.set("threads", plan["threads"])
    server.run()


def reconciler(plan: dict[str, Any]) -> None:
    """Reconcile until SIGTERM."""
    from control_api.bell import Bell
    from control_api.event_tail import LOOK_SECONDS, EventTail
    from control_api.reconciler import Reconciler

    settings = settings_of(plan)
    database = Database(settings.database_url, Bell(LOOK_SECONDS))
    EventTail(database).start()
    Reconciler(settings, database, Absent()).start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    os._exit(0)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[2]).read_text())
    try:
        {"web": web, "reconciler": reconciler}[sys.argv[1]](given)
    except SystemExit:
        os._exit(0)  # without the noise of what greenlets leave
