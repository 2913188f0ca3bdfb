"""`midcourse tensorboard`: runs in TensorBoard."""

import click

from midcourse.cli.options import Common, common, home_option
from midcourse.cli.programs import become, home_folder

PROGRAM = "midcourse.tracking.tensorboard"


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@home_option
@click.option(
    "--logdir",
    type=click.Path(file_okay=False),
    help="Where to write; the folder tensorboard of the home without it.",
)
@click.option("--host", default="127.0.0.1", help="Where it listens: 127.0.0.1 is this machine.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=6006, help="6006 without it; 0 is any."
)
@click.option("--no-serve", "write_only", is_flag=True, help="Only write the event files.")
@click.option("--follow", is_flag=True, help="With --no-serve: write what comes, until Ctrl-C.")
@common
def tensorboard(
    said: Common,
    runs: tuple[str, ...],
    home: str | None,
    logdir: str | None,
    host: str,
    port: int,
    write_only: bool,
    follow: bool,
) -> None:
    """Write the logs of RUNs, or of all, as event files, and show them in TensorBoard.

    What runs log meanwhile appears within seconds; Ctrl-C ends it. It reads the runs' folders on
    this machine, and asks no control API. RUN is an id, a beginning of one, the name that the run
    was made with, or its folder.
    """
    if follow and not write_only:
        raise click.UsageError("--follow is for --no-serve: TensorBoard always shows what comes.")
    become(
        PROGRAM,
        [
            *(f"--home={home_folder(home)}", f"--host={host}", f"--port={port}"),
            *([f"--logdir={logdir}"] if logdir else []),
            *(["--write-only"] if write_only else []),
            *(["--follow"] if follow else []),
            *(["--json"] if said.as_json else []),
            "--",
            *runs,
        ],
    )
