"""`make docs`: write docs/openapi.json as the control API serves it; `--check` only looks."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, Python looks in scripts/ alone
    sys.path.insert(0, str(ROOT))

from control_api.app import create_app  # noqa: E402
from control_api.openapi import document_text  # noqa: E402
from control_api.settings import Settings  # noqa: E402

COPY = ROOT / "docs" / "openapi.json"


def text() -> str:
    """The document, as any control API of this version serves it."""
    with TemporaryDirectory() as home:
        return document_text(create_app(Settings(home=Path(home))))


def main(arguments: list[str] | None = None) -> int:
    """Write the copy, or say whether it is current; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if the copy is not current"
    )
    given = parser.parse_args(arguments)
    wanted = text()
    if not given.check:
        COPY.write_text(wanted, encoding="utf-8")
        return 0
    if COPY.is_file() and COPY.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write(
        f"{COPY.relative_to(ROOT)} is not what the control API serves. If the change is meant, "
        "run `make docs` and commit it; clients see it.\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
