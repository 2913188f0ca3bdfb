"""Alerts: the few things that people want to be told of, wherever they are."""

from datetime import datetime
from enum import StrEnum

from midcourse.contract import commands
from midcourse.contract.base import Record
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CommandDone, StatusChanged
from midcourse.contract.runs import RunFile, RunStatus

POLICY_ACTOR = "policy:"


class AlertKind(StrEnum):
    """What an alert is about; `MIDCOURSE_ALERTS` lists those that are wanted."""

    PAUSE = "pause"
    """A policy paused the run, and somebody has to look."""
    MESSAGE = "message"
    """A policy has something to say."""
    FAILED = "failed"
    """The program raised an error."""
    FINISHED = "finished"
    """The run trained to its end, or was stopped."""


class Alert(Record):
    """One thing to tell people, once."""

    kind: AlertKind
    at: datetime
    title: str
    text: str

    @property
    def key(self) -> str:
        """The same for the same event, however often the log is read."""
        return f"{self.kind} {self.at.isoformat()}"


def alert_of_command(run: RunFile, record: CommandDone) -> Alert | None:
    """What a command's end is worth telling; None: nothing."""
    command, receipt = record.command, record.receipt
    if receipt.state is not CommandState.APPLIED or not command.actor.startswith(POLICY_ACTOR):
        return None
    where = f"at step {receipt.step}, by {command.actor}"
    match command.action:
        case commands.Pause():
            text = f"{command.reason or 'It was paused'} ({where})."
            return Alert(
                kind=AlertKind.PAUSE, at=receipt.at, title=f"{_name(run)} is paused", text=text
            )
        case commands.Alert(message=message):
            return Alert(
                kind=AlertKind.MESSAGE,
                at=receipt.at,
                title=f"{_name(run)}: {command.actor.removeprefix(POLICY_ACTOR)}",
                text=f"{message} ({where}).",
            )
    return None


def alert_of_status(run: RunFile, record: StatusChanged) -> Alert | None:
    """What a change of status is worth telling; None: nothing."""
    step = "before its first step" if record.step is None else f"at step {record.step}"
    why = f": {record.reason}" if record.reason else ""
    match record.status:
        case RunStatus.FAILED:
            kind, text = AlertKind.FAILED, f"It failed {step}{why}."
        case RunStatus.FINISHED | RunStatus.STOPPED:
            kind, text = AlertKind.FINISHED, f"It {record.status.value} {step}{why}."
        case _:
            return None
    title = f"{_name(run)} {record.status.value}"
    return Alert(kind=kind, at=record.at, title=title, text=text)


def _name(run: RunFile) -> str:
    return run.name or run.id
