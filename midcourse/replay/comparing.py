"""Whether a replayed command did what the recorded one did."""

from pydantic import JsonValue

from midcourse.contract.commands import Reinitialise, SetParameters, Stop, TakeCheckpoint
from midcourse.contract.journal_file import ActedCommand
from midcourse.contract.receipts import CommandState, Receipt


def difference(recorded: ActedCommand, receipt: Receipt, *, hashes: bool) -> str | None:
    """How a receipt differs from the recorded one, in words; None where it does not.

    Args:
        recorded: what acted.
        receipt: of the same command in the replay.
        hashes: whether the hashes of checkpoints on the way can be compared.
    """
    if receipt.state is not CommandState.APPLIED:
        return f"it was {receipt.state.value}: {receipt.reason}"
    if not receipt.after or not recorded.after:
        return None  # a crash or a full disk took what was read back
    match recorded.action:
        case SetParameters():
            return _first("before", recorded.before, receipt.before) or _first(
                "after", recorded.after, receipt.after
            )
        case Reinitialise():
            return _first("after", recorded.after, receipt.after)
        case TakeCheckpoint() | Stop() if hashes:
            names = ("step", "state_hash")
            return _first(
                "after",
                {name: recorded.after.get(name) for name in names},
                {name: receipt.after.get(name) for name in names},
            )
    return None


def _first(when: str, recorded: dict[str, JsonValue], found: dict[str, JsonValue]) -> str | None:
    for name in {**recorded, **found}:
        if recorded.get(name) != found.get(name):
            return (
                f"{name} reads {found.get(name)!r} {when} it, and read {recorded.get(name)!r} then"
            )
    return None
