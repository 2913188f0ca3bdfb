"""`midcourse bulk`: one action for all runs of a filter."""

from typing import Any, get_args

import click

from midcourse.cli.failing import REFUSED, NotYet
from midcourse.cli.filters import filters
from midcourse.cli.options import Common, common, reason, waiting
from midcourse.cli.printing import show_record, show_table
from midcourse.cli.receipts import outcome
from midcourse.cli.values import parse_changes
from midcourse.contract.api.actions import ActionName, ActionResult, ActionsAnswer
from midcourse.contract.receipts import FINAL_STATES


@click.command()
@click.argument("action", type=click.Choice(get_args(ActionName)))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE... | TAG...]")
@filters
@click.option("--dry-run", is_flag=True, help="Only say which runs it would reach.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@reason
@waiting
@common
def bulk(
    said: Common,
    action: ActionName,
    words: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    reason: str | None,
    wait: float | None,
    **wanted: Any,
) -> int:
    """Do the same to all runs of a filter; each has its own receipt.

    It names the runs and asks first. Without a filter it means all that are not archived. What one
    run refuses keeps no other from it; the exit code is then 1.

    \b
      midcourse bulk pause --experiment digits --status running
      midcourse bulk set optimizer.lr=1e-3 --tag baseline --reason "try a lower rate"
      midcourse bulk tag keep --where 'metrics.test/accuracy>=0.98'
    """
    if words and action not in ("set", "tag", "untag"):
        raise click.UsageError(f"{action} takes nothing more, but there is: {' '.join(words)}.")
    more: dict[str, Any] = {
        "changes": parse_changes(words) if action == "set" else None,
        "tags": words if action in ("tag", "untag") else None,
        "reason": reason,
    }
    client = said.client
    if dry_run or not yes:
        would = client.act(action, wanted, dry_run=True, **more)  # type: ignore[arg-type]
        if dry_run:
            return _tell(said, would)
        _ask(action, would)
    answer = client.act(action, wanted, wait=wait, **more)  # type: ignore[arg-type]
    code = _tell(said, answer)
    waiting = [result.run for result in answer.results if _waits(result)]
    if wait is not None and waiting and not code:
        raise NotYet(f"accepted, and not known to have acted in time: {', '.join(waiting)}.")
    return code


def _ask(action: str, would: ActionsAnswer) -> None:
    names = [result.run for result in would.results]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if not names:
        click.echo("No run is meant.", err=True)
    else:
        click.confirm(f"{action} {len(names)}: {shown}?", abort=True, err=True)


def _waits(result: ActionResult) -> bool:
    command = result.command
    return command is not None and command.state not in FINAL_STATES


def _tell(said: Common, answer: ActionsAnswer) -> int:
    if said.as_json:
        show_record(answer)
    else:
        rows = [[result.run, str(result.status), _told(result)] for result in answer.results]
        show_table(("RUN", "ANSWER", ""), rows)
    return REFUSED if any(result.problem for result in answer.results) else 0


def _told(result: ActionResult) -> str:
    if result.problem is not None:
        return result.problem.detail or result.problem.title
    command = result.command
    if command is None:
        return ""
    receipt = command.receipt
    return f"{command.state} {outcome(receipt)}".strip() if receipt else str(command.state)
