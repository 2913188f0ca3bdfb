"""`python -m dashboards`: make pages of what runs logged.

    python -m dashboards publish EXPERIMENT [--run RUN | --fork RUN | --workspace] [--html FILE]
    python -m dashboards html EXPERIMENT [-o FILE] […]

Exit codes: 0 done, 1 there is nothing to show, the file cannot be written, or W&B cannot be told;
2 wrong usage.
"""

import argparse
import os
import sys
import threading
from pathlib import Path

from dashboards.account import Account, CannotPublish
from dashboards.home import NothingToShow
from dashboards.html import CannotWrite, render, write
from dashboards.made import Made, Wanted, make
from dashboards.publishing import publish, tell
from dashboards.words import listed
from midcourse.contract.environment import HOME
from midcourse.contract.paths import DEFAULT_HOME

HTML, PUBLISH = "html", "publish"


def main(arguments: list[str] | None = None) -> int:
    """Parse, make, write."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if (wrong := _what_is_wrong(given)) is not None:
        parser.error(wrong)
    if getattr(given, "end_with_input", False):
        _end_with_input()
    wanted = Wanted(given.experiment, given.run, given.fork, given.workspace)
    try:
        if given.what == PUBLISH and given.html is None:
            account = Account.read(entity=given.entity, project=given.project)
            tell(publish(given.home, wanted, account), as_json=given.json)
        else:
            made = make(given.home, wanted)
            path = given.html or Path(f"{made.file_name}.html")
            write(path, render(made.page, made.runs))
            _tell(made, path)
    except (NothingToShow, CannotWrite, CannotPublish) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _what_is_wrong(given: argparse.Namespace) -> str | None:
    """Of options that do not go together, in a sentence; None: they do."""
    if given.experiment is None and given.run is None and given.fork is None:
        return "say which experiment, or a run with --run or --fork"
    if given.what == PUBLISH and given.html is not None:
        of_wandb = {"--entity": given.entity, "--project": given.project, "--json": given.json}
        useless = [option for option, value in of_wandb.items() if value]
        if useless:
            return f"--html writes a file and asks W&B nothing: leave out {listed(useless)}"
    return None


def _end_with_input() -> None:
    """End when whoever started us is gone, and with it the other end of our standard input."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)  # whatever W&B's packages wait for

    threading.Thread(target=wait, name="input", daemon=True).start()


def _tell(made: Made, path: Path) -> None:
    sys.stdout.write(f"{path.absolute()}\n")
    for fault in (*made.faults, *(fault for run in made.runs for fault in run.faults)):
        sys.stderr.write(f"{fault}\n")


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it must name a file")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dashboards", description="Make pages of what runs logged."
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    html = kinds.add_parser(HTML, help="one self-contained HTML file; needs no account")
    html.add_argument(
        "-o", "--output", dest="html", type=_file, metavar="FILE", help="by default <its name>.html"
    )
    publisher = kinds.add_parser(
        PUBLISH, help="save the pages of an experiment in W&B, or change them there; prints links"
    )
    publisher.add_argument(
        "--html",
        type=_file,
        metavar="FILE",
        help="write one page as a self-contained file instead, as `html` does; needs no account",
    )
    publisher.add_argument("--entity", help="the team or user in W&B (WANDB_ENTITY; the key's own)")
    publisher.add_argument("--project", help="the project (WANDB_PROJECT; midcourse)")
    publisher.add_argument("--json", action="store_true", help="print links and notes as JSON")
    publisher.add_argument(
        "--end-with-input", action="store_true", help="end when standard input does"
    )
    for kind in (html, publisher):
        _add_what(kind)
    return parser


def _add_what(kind: argparse.ArgumentParser) -> None:
    kind.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="whose runs to compare")
    which = kind.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="RUN", help="one run instead: its monitor")
    which.add_argument(
        "--fork", metavar="RUN", help="what did this change do? A fork against its parent"
    )
    which.add_argument(
        "--workspace", action="store_true", help="everything that the experiment's runs log"
    )
    kind.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get(HOME) or DEFAULT_HOME),
        help=f"the folder of all runs ({HOME}; {DEFAULT_HOME})",
    )


if __name__ == "__main__":
    sys.exit(main())
