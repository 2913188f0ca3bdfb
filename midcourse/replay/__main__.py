"""`python -m midcourse.replay export RUN`: a run's journal as a file, to be replayed elsewhere."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import MidcourseError
from midcourse.replay.export import export_journal, write_journal


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0, or 2 where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        home = options.home or TrainerEnvironment.read().home
        lines = export_journal(home, options.run)
        if options.output is None:
            sys.stdout.writelines(f"{line}\n" for line in lines)
        else:
            write_journal(lines, options.output)
            sys.stderr.write(f"{len(lines) - 1} commands written to {options.output}\n")
    except MidcourseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{options.output or 'the output'}: {error.strerror or error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m midcourse.replay", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    export = verbs.add_parser("export", help="write the journal of a run, also of one that trains")
    export.add_argument("run", help="the run's id")
    export.add_argument("-o", "--output", type=Path, help="the file; standard output if not given")
    export.add_argument("--home", type=Path, help="the folder of all runs; MIDCOURSE_HOME if unset")
    return parser


if __name__ == "__main__":
    sys.exit(main())
