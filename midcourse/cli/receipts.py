"""Commands and what came of them, in a line each."""

from typing import Any

import click
from pydantic import JsonValue

from midcourse.cli.failing import NotYet
from midcourse.cli.options import Common
from midcourse.cli.printing import show_record, value
from midcourse.contract.api.commands import CommandView
from midcourse.contract.receipts import FINAL_STATES, Receipt


def tell_command(said: Common, command: CommandView, wait: float | None) -> None:
    """Show what became of a command that was just asked for.

    Raises:
        NotYet: it was waited for, and has no receipt so far.
    """
    if said.as_json:
        show_record(command)
    else:
        click.echo(command_line(command))
    if wait is not None and command.state not in FINAL_STATES:
        raise NotYet(
            f"accepted, and not known to have acted within {wait:g} seconds; see "
            f"`midcourse commands {command.run}`, or wait longer with --timeout."
        )


def command_line(command: CommandView) -> str:
    """A command and what became of it."""
    receipt = command.receipt
    head = f"{command.run} {command.seq}: {action_words(command.action.model_dump(mode='json'))}"
    if receipt is None:
        later = f", to act at {command.at}" if command.at else ""
        return f"{head} {command.state}{later}"
    where = "" if receipt.step is None else f" at step {receipt.step}"
    told = outcome(receipt)
    why = f": {told}" if receipt.reason else f" ({told})" if told else ""
    return f"{head} {command.state}{where}{why}"


def action_words(action: dict[str, Any]) -> str:
    """What was asked for: `set optimizer.lr=0.01`."""
    rest = []
    for name, said in action.items():
        if name == "changes" and isinstance(said, dict):
            rest += [f"{key}={value(one)}" for key, one in said.items()]
        elif name == "layers":
            rest += said
        elif name == "checkpoint":
            rest.append(f"to {said}")
        elif name in ("steps", "seq", "message") and said is not None:
            rest.append(f"{said} steps" if name == "steps" else str(said))
    return " ".join([action["kind"], *rest])


def outcome(receipt: Receipt) -> str:
    """What a receipt tells: the values before and after, or why it did not act."""
    if receipt.reason:
        return receipt.reason
    told = changes(receipt.before, receipt.after)
    if undo_to := receipt.details.get("undo_to"):
        told.append(f"undo goes to {undo_to}")
    return ", ".join(told)


def changes(before: dict[str, JsonValue], after: dict[str, JsonValue]) -> list[str]:
    """`optimizer.lr 0.05 → 0.01` for each value; the hash of a checkpoint is for programs."""
    return [
        f"{name} {value(before[name])} → {value(new)}" if name in before else f"{name} {value(new)}"
        for name, new in after.items()
        if name != "state_hash"
    ]
