"""`midcourse.start`: checks what it is given, and makes a session of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from midcourse.checkpointer import BestSoFar
from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.contract.interval import Interval
from midcourse.contract.names import new_run_id
from midcourse.contract.runs import RunFile
from midcourse.policies.kinds import make_guard
from midcourse.policies.policy import Policy
from midcourse.replay.feeding import feed
from midcourse.replay.file import JournalFile
from midcourse.rng import seed_everything
from midcourse.session import Session


def start(
    experiment: str,
    config: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    seed: int = 0,
    checkpoint_every: str | None = "500 steps",
    keep: int = 3,
    best: tuple[str, Literal["max", "min"]] | None = None,
    home: Path | str | None = None,
    run_id: str | None = None,
    replay: JournalFile | Path | str | None = None,
    policies: Sequence[Mapping[str, Any] | Policy] = (),
) -> Session:
    """Begin a run, or go on with one; seeds Python, numpy and torch.

    Args:
        experiment: what is being found out; groups runs.
        config: what the run is made with, for the record: plain JSON values.
        name: for people; `MIDCOURSE_RUN_NAME`, else none.
        seed: of the sample order and of all generators.
        checkpoint_every: such as `"100 steps"` or `"1 epoch"`; None: on command and at the end.
        keep: how many checkpoints to keep beside the best and the pinned ones.
        best: a logged metric and whether more or less of it is better; its best value so far
            takes a checkpoint.
        home: the folder of all runs; `MIDCOURSE_HOME`, else `./.midcourse`.
        run_id: the run to go on with, or the id for a new one; `MIDCOURSE_RUN_ID`, else made up.
        replay: a journal whose commands act again, each at its step: of a run in this home (its
            id), a file, or `"wandb:journal-<run>"`; `MIDCOURSE_REPLAY`, else none. Experiment,
            config and seed must be those that it began with.
        policies: guard rails, in the order in which they act, each as plain data such as
            `{"kind": "non_finite", "metric": "train/loss"}`, or a `Policy` of your own. A replay
            has none: what they did is in the journal.

    Returns:
        The session; use it in a `with` statement.

    Raises:
        InvalidInput: an argument or variable is malformed, the run began with another config, or
            the journal to replay cannot be had or is that of another training.
        RunBusy: another process is training this run.
        RunEnded: it has ended for good.
    """
    environment = TrainerEnvironment.read()
    faults: list[Fault] = []
    interval = None
    if checkpoint_every is not None:
        try:
            interval = Interval.parse(checkpoint_every)
        except ValueError as error:
            faults.append(Fault(path="checkpoint_every", message=str(error)))
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        message = f"must be a whole number of at least 1, not {keep!r}"
        faults.append(Fault(path="keep", message=message))
    if best is not None and not _names_a_best(best):
        message = f'must be a metric and "max" or "min", such as ("loss", "min"), not {best!r}'
        faults.append(Fault(path="best", message=message))
    guard = None
    try:
        guard = make_guard(policies) if policies else None
    except InvalidInput as error:
        faults += error.faults
    if type(seed) is int and not -(2**63) <= seed < 2**63:
        faults.append(Fault(path="seed", message=f"must fit into 64 bits, not {seed}"))
    try:
        wanted = RunFile(
            id=run_id or environment.run_id or new_run_id(),
            experiment=experiment,
            name=name or environment.run_name,
            seed=seed,
            config=json.loads(json.dumps(dict(config or {}), allow_nan=False)),
            origin=environment.origin,
        )
    except ValidationError as error:
        faults += faults_of(error)
    except (TypeError, ValueError) as error:
        faults.append(Fault(path="config", message=f"must be plain JSON values: {error}"))
    if faults:
        raise InvalidInput(faults)
    # Absolute, as the program may change its working directory.
    folder = Path(environment.home if home is None else home).absolute()
    environment = environment.model_copy(update={"home": folder})
    wanted, replayed = feed(wanted, replay if replay is not None else environment.replay, folder)
    seed_everything(seed)
    session = Session(
        wanted,
        environment,
        checkpoint_every=interval,
        keep=keep,
        best=BestSoFar(*best) if best is not None else None,
        source=guard if wanted.replay is None else replayed,
    )
    if replayed is not None:
        replayed.attach(session)
    elif session.guard is not None:
        session.before_end = session.guard.say_unheard
    return session


def _names_a_best(best: Any) -> bool:
    return (
        isinstance(best, tuple | list)
        and len(best) == 2
        and isinstance(best[0], str)
        and best[1] in ("max", "min")
    )
