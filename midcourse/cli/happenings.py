"""Events in words."""

from midcourse.cli.receipts import command_line
from midcourse.client import Client, ClientError
from midcourse.client.streams import Heard
from midcourse.contract.receipts import FINAL_STATES


def happening(client: Client, event: Heard) -> str:
    """An event as a line; a command that has its receipt is told in full."""
    seq, final = event.details.get("seq"), event.details.get("state") in FINAL_STATES
    if event.kind == "command" and isinstance(seq, int) and event.run and final:
        try:
            return command_line(client.command(event.run, seq))
        except ClientError:
            pass
    return event_line(event)


def event_line(event: Heard) -> str:
    """An event as a line, from what it says itself."""
    data = event.details
    step = data.get("step")
    where = "" if step is None else f" at step {step}"
    match event.kind:
        case "gap":
            return "some events are no longer kept"
        case "run.changed":
            fields = data.get("fields")
            words = f"changed: {', '.join(map(str, fields)) if isinstance(fields, list) else ''}"
        case "run.created":
            parent = data.get("parent")
            words = f"made from {parent}" if parent else f"made in {data.get('experiment')}"
        case "run.status":
            words = f"{data.get('status')}{where}"
        case "run.desired":
            words = f"shall be {data.get('desired')}"
        case "run.params":
            words = f"parameters at revision {data.get('revision')}"
        case "command":
            words = f"{data.get('seq')}: {data.get('kind')} {data.get('state')}{where}"
            return f"{event.run} {words}"
        case "checkpoint.written":
            words = f"checkpoint {data.get('name')}"
        case "checkpoint.deleted":
            words = f"checkpoint {data.get('name')} deleted"
        case _:
            told = ", ".join(f"{name} {value}" for name, value in data.items())
            words = f"{event.kind} {told}".rstrip()
    return f"{event.run} {words}"
