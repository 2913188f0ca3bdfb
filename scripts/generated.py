"""Files that are written from the code: `make docs` writes them, `--check` only looks."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(
    about: str | None, path: Path, wanted: str, mend: str, arguments: list[str] | None
) -> int:
    """Write a file, or say whether it is current.

    Args:
        about: what the script does, for `--help`.
        path: of the file.
        wanted: what is to be in it.
        mend: what is said behind its name where it is something else.
        arguments: of the command line.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if the file is not current"
    )
    if not parser.parse_args(arguments).check:
        path.write_text(wanted, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write(f"{path.relative_to(ROOT)} {mend}\n")
    return 1
