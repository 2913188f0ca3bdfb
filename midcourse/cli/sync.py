"""`midcourse sync`: send to W&B what is not there yet."""

import click

from midcourse.cli.options import Common, common, home_option
from midcourse.cli.printing import clock, show_record, show_table, size
from midcourse.cli.programs import become, home_folder

PROGRAM = "midcourse.tracking.sync"


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@home_option
@click.option("--server", is_flag=True, help="Have the control API send, and say what is left.")
@click.option("--all", "everything", is_flag=True, help="Ask about those that were sent, too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@common
def sync(
    said: Common,
    runs: tuple[str, ...],
    home: str | None,
    server: bool,
    everything: bool,
    dry_run: bool,
) -> None:
    """Send to W&B what is not there yet of RUNs, or of all runs that logged offline or lag behind.

    It reads the runs' folders on this machine and asks no control API; WANDB_API_KEY says as whom.
    With --server it is the control API that tries again to send what its runs left, and this tells
    what that is.
    A parent comes before its forks. Ctrl-C leaves the rest for the next time. RUN is an id, a
    beginning of one, the name that the run was made with, or its folder.
    """
    if server:
        if runs or home or everything:
            raise click.UsageError("--server is for all runs of the control API, and takes no RUN.")
        _ask_server(said, only_look=dry_run)
        return
    become(
        PROGRAM,
        [
            f"--home={home_folder(home)}",
            *(["--all"] if everything else []),
            *(["--dry-run"] if dry_run else []),
            *(["--json"] if said.as_json else []),
            "--",
            *runs,
        ],
    )


def _ask_server(said: Common, *, only_look: bool) -> None:
    found = said.client.unsent() if only_look else said.client.sync()
    if said.as_json:
        show_record(found)
        return
    rows = [
        [
            one.run,
            one.state.replace("_", " "),
            "" if one.left is None else str(one.left),
            size(one.bytes_left),
            clock(one.due_at) if one.tries else "",
            one.error or "",
        ]
        for one in found.runs
    ]
    if rows:
        show_table(("RUN", "STATE", "ROWS", "LOG", "AGAIN AT", "LAST TRY"), rows)
    told = f"{found.count} runs are" if found.count != 1 else "1 run is"
    click.echo(f"{told} not all in W&B: {size(found.bytes_left)} of log.", err=True)
    if found.notice:
        click.echo(found.notice, err=True)
