"""Commands: what may be asked of a run, and what became of it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

from pydantic import JsonValue

from midcourse.client.errors import NOT_APPLIED, NotApplied
from midcourse.client.transport import Transport, segment
from midcourse.contract.api.checkpoints import CheckpointsAnswer
from midcourse.contract.api.commands import CommandsView, CommandView
from midcourse.contract.api.params import ParametersAnswer
from midcourse.contract.api.values import MAX_WAIT_SECONDS
from midcourse.contract.checkpoints import CheckpointRecord
from midcourse.contract.commands import At
from midcourse.contract.errors import Problem
from midcourse.contract.receipts import FINAL_STATES, CommandState

POLL_SECONDS = 0.5


class Asked(TypedDict, total=False):
    """What may be said with every verb that makes a command."""

    wait: float | None
    """Seconds to wait for the receipt. Without it, or when they are over, the command may have
    none yet. One that was waited for and did not act raises `NotApplied`."""
    at: str | At | None
    """`step:500` or `epoch:3`: act once that step or epoch is complete."""
    dry_run: bool
    """Only ask what it would do."""
    reason: str | None
    """Why; kept with the command."""


class Commands:
    """Verbs that steer a run. Each takes the run's id and answers with the command."""

    _wire: Transport
    _sleep: Callable[[float], None]

    def params(self, run: str) -> ParametersAnswer:
        """A run's live parameters: values, revision, and the schema of a change."""
        return self._wire.get(ParametersAnswer, f"/runs/{segment(run)}/params")

    def set(
        self,
        run: str,
        changes: dict[str, JsonValue],
        *,
        revision: int | None = None,
        **asked: Unpack[Asked],
    ) -> CommandView:
        """Change live parameters: all of them, or none.

        Args:
            run: its id.
            changes: names and values; a value may stand in an object with how it is meant, as in
                `{"optimizer.lr": {"value": 0.5, "mode": "scale"}}`.
            revision: refuse if the parameters have changed since this revision was read.
            asked: see `Asked`.
        """
        headers = {} if revision is None else {"If-Match": f'"{revision}"'}
        path = f"/runs/{segment(run)}/params"
        return self._command("PATCH", path, changes, asked, headers)

    def pause(self, run: str, **asked: Unpack[Asked]) -> CommandView:
        """Hold a run at its next step boundary; it keeps its device."""
        return self._verb(run, "pause", None, asked)

    def resume(self, run: str, *, steps: int | None = None, **asked: Unpack[Asked]) -> CommandView:
        """Let a paused or suspended run go on; with `steps`, for so many, then pause."""
        return self._verb(run, "resume", {"steps": steps} if steps else None, asked)

    def suspend(self, run: str, **asked: Unpack[Asked]) -> CommandView:
        """Write a checkpoint, end the process and free its slot, until `resume`."""
        return self._verb(run, "suspend", None, asked)

    def stop(self, run: str, **asked: Unpack[Asked]) -> CommandView:
        """Write a checkpoint, then end a run for good; it can still be forked."""
        return self._verb(run, "stop", None, asked)

    def checkpoint(self, run: str, **asked: Unpack[Asked]) -> CommandView:
        """Write a checkpoint and keep it, whatever the retention says."""
        return self._verb(run, "checkpoint", None, asked)

    def undo(self, run: str, **asked: Unpack[Asked]) -> CommandView:
        """Go on as a new run from before the last change."""
        return self._verb(run, "undo", None, asked)

    def reinitialise(self, run: str, layers: Sequence[str], **asked: Unpack[Asked]) -> CommandView:
        """Give layers fresh weights; they are named by patterns such as `features.*`."""
        return self._verb(run, "reinitialise", {"layers": list(layers)}, asked)

    def revert(
        self,
        run: str,
        checkpoint: str,
        *,
        changes: dict[str, JsonValue] | None = None,
        **asked: Unpack[Asked],
    ) -> CommandView:
        """Let a new run take this one's place from a checkpoint on, in the same process."""
        body = {"checkpoint": checkpoint, **({"changes": changes} if changes else {})}
        return self._verb(run, "revert", body, asked)

    def commands(self, run: str) -> list[CommandView]:
        """All commands of a run, in the order in which they were asked for."""
        return self._wire.get(CommandsView, f"/runs/{segment(run)}/commands").commands

    def command(self, run: str, seq: int) -> CommandView:
        """One command, with its receipt as soon as there is one."""
        return self._wire.get(CommandView, f"/runs/{segment(run)}/commands/{seq}")

    def withdraw(
        self, run: str, seq: int, *, reason: str | None = None, wait: float | None = None
    ) -> CommandView:
        """Withdraw a command that has not acted."""
        path = f"/runs/{segment(run)}/commands/{seq}"
        return self._command("DELETE", path, None, {"reason": reason, "wait": wait})

    def checkpoints(self, run: str) -> list[CheckpointRecord]:
        """The checkpoints that are on disk, in order of their steps."""
        path = f"/runs/{segment(run)}/checkpoints"
        return self._wire.get(CheckpointsAnswer, path).checkpoints

    def _verb(self, run: str, verb: str, body: Any, asked: Asked) -> CommandView:
        return self._command("POST", f"/runs/{segment(run)}/{verb}", body, asked)

    def _command(
        self,
        method: str,
        path: str,
        body: Any,
        asked: Asked,
        headers: dict[str, str] | None = None,
    ) -> CommandView:
        if strangers := asked.keys() - Asked.__annotations__.keys():
            known = ", ".join(sorted(Asked.__annotations__))
            raise TypeError(f"there is no {', '.join(sorted(strangers))}: {known}")
        at, wait = asked.get("at"), asked.get("wait")
        query = {
            "at": str(at).replace(" ", ":") if at is not None else None,
            "dry_run": asked.get("dry_run") or None,
            "reason": asked.get("reason"),
        }
        command = self._wire.ask(
            method, CommandView, path, query=query, body=body, wait=wait, headers=headers
        )
        further = (wait or 0) - MAX_WAIT_SECONDS
        return self._await(command, further) if further > 0 else command

    def _await(self, command: CommandView, seconds: float) -> CommandView:
        """Look after a command for longer than one request may wait.

        Raises:
            NotApplied: it came to nothing.
        """
        deadline = time.monotonic() + seconds
        while command.state not in FINAL_STATES and time.monotonic() < deadline:
            self._sleep(POLL_SECONDS)
            command = self.command(command.run, command.seq)
        require_applied(command)
        return command


def require_applied(command: CommandView) -> None:
    """Pass a command over that acted, was checked, or has no receipt yet.

    Raises:
        NotApplied: it came to nothing.
    """
    receipt = command.receipt
    if receipt is None or receipt.state in (CommandState.APPLIED, CommandState.CHECKED):
        return
    problem = Problem(
        type=NOT_APPLIED,
        title="The command did not act",
        status=409,
        detail=f"Command {command.seq} of run {command.run} is {receipt.state}"
        f"{': ' + receipt.reason if receipt.reason else ''}.",
        faults=receipt.faults,
    )
    raise NotApplied(problem, {"receipt": receipt.model_dump(mode="json")})
