"""`make docs`: write docs/openapi.json as the control API serves it; `--check` only looks."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, Python looks in scripts/ alone
    sys.path.insert(0, str(ROOT))

from control_api.app import create_app  # noqa: E402
from control_api.openapi import document_text  # noqa: E402
from control_api.settings import Settings  # noqa: E402
from scripts.generated import write_or_check  # noqa: E402

COPY = ROOT / "docs" / "openapi.json"


def text() -> str:
    """The document, as any control API of this version serves it."""
    with TemporaryDirectory() as home:
        return document_text(create_app(Settings(home=Path(home))))


def main(arguments: list[str] | None = None) -> int:
    """Write the copy, or say whether it is current; the exit code."""
    mend = (
        "is not what the control API serves. If the change is meant, run `make docs` and commit "
        "it; clients see it."
    )
    return write_or_check(__doc__, COPY, text(), mend, arguments)


if __name__ == "__main__":
    sys.exit(main())
