"""The entry point: runs a command, and says in one line what went wrong."""

import io
import sys
from collections.abc import Sequence

import click

from midcourse.cli.group import LazyGroup
from midcourse.version import __version__

EPILOGUE = """\
A run is named by its id, any unique beginning of it, or its name.

\b
Exit codes:
  0  done
  1  refused by the control API, or it came to nothing
  2  wrong usage
  3  no control API can be reached
  4  no token, or one that may not do that
  5  accepted, and not known to have acted in time
  130  interrupted by Ctrl-C
"""


@click.group(
    cls=LazyGroup,
    epilog=EPILOGUE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="midcourse %(version)s")
@click.option("--url", metavar="URL", help="The control API, where it is not the default.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.pass_context
def cli(ctx: click.Context, url: str | None, as_json: bool, debug: bool) -> None:
    """Change the course of training runs while they train, exactly and on the record."""
    ctx.obj = {"url": url, "as_json": as_json, "debug": debug}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit code; `docs/cli.md` says what each means.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an arrow must not end it where there are none
            stream.reconfigure(errors="replace")
    try:
        result = cli.main(given, prog_name="midcourse", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        from midcourse.cli.failing import explain

        return explain(error, as_json="--json" in given, debug="--debug" in given)
    return result if isinstance(result, int) else 0
