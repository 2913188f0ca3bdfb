"""The console log of a run: what its trainers printed, an attempt behind the other."""

import os
from datetime import UTC, datetime
from pathlib import Path

_HEADING = "--- attempt "


def begin(console: Path, attempt: int) -> None:
    """Write the line that stands before what an attempt prints; makes the folder.

    Raises:
        OSError: it cannot be written.
    """
    console.parent.mkdir(parents=True, exist_ok=True)
    with console.open("a", encoding="utf-8") as file:
        file.write(f"{_HEADING}{attempt}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ---\n")


def last_lines(console: Path, *, lines: int = 15, max_bytes: int = 8000) -> str:
    """The end of what the last attempt printed; empty if it printed nothing."""
    try:
        with console.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    printed = text.splitlines()
    headings = [index for index, line in enumerate(printed) if line.startswith(_HEADING)]
    if headings:
        printed = printed[headings[-1] + 1 :]
    return "\n".join(printed[-lines:]).strip()
