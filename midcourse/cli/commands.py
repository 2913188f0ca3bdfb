"""`commands` and `withdraw`: what was asked of a run."""

import click

from midcourse.cli.options import Common, common, reason, run_argument, waiting
from midcourse.cli.printing import clock, show_record, show_table
from midcourse.cli.receipts import action_words, outcome, tell_command
from midcourse.contract.api.commands import CommandsView, CommandView


@click.command()
@run_argument
@common
def commands(said: Common, run: str) -> None:
    """What was asked of a run, by whom, and what came of it.

    Those that the run gave itself, by a policy or from the journal that it replays, have
    numbers below 0.
    """
    client = said.client
    found = client.commands(client.find(run))
    if said.as_json:
        show_record(CommandsView(commands=found))
        return
    show_table(
        ("SEQ", "WHEN", "WHO", "WHAT", "STATE", "STEP", "OUTCOME"), [_row(one) for one in found]
    )


def _row(command: CommandView) -> list[str]:
    receipt = command.receipt
    at = f" at {command.at}" if command.at else ""
    dry = " (dry run)" if command.dry_run else ""
    step = "" if receipt is None or receipt.step is None else str(receipt.step)
    words = action_words(command.action.model_dump(mode="json"))
    return [
        str(command.seq),
        clock(command.accepted_at),
        command.actor,
        f"{words}{at}{dry}",
        str(command.state),
        step,
        outcome(receipt) if receipt else (f"because {command.reason}" if command.reason else ""),
    ]


@click.command()
@run_argument
@click.argument("seq", type=int)
@waiting
@reason
@common
def withdraw(said: Common, run: str, seq: int, wait: float | None, reason: str | None) -> None:
    """Withdraw command SEQ of a run, if it has not acted."""
    client = said.client
    command = client.withdraw(client.find(run), seq, wait=wait, reason=reason)
    tell_command(said, command, wait)
