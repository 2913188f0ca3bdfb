"""How trainers ended whose parent was gone: noted by the supervisor, which has adopted them.

A reconciler knows the exit codes of its own children. When it dies, they become the supervisor's,
and it leaves a file for each that ends, which the next reconciler finds. What ends after the
supervisor itself ends unseen.
"""

import json
from contextlib import suppress
from pathlib import Path

MOST = 200
"""Adopted processes are not all trainers: the oldest notes make room."""


class Exits:
    """A folder of notes, each named by a process's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, pid: int, started: str, code: int) -> None:
        """Keep how a process ended; a full disk loses it.

        Args:
            pid: its id.
            started: `launchers.process.start_time` of it, as ids are used again.
            code: its exit code, negative for a signal.
        """
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = self._folder / f"{pid}.new"
            fresh.write_text(json.dumps({"started": started, "code": code}))
            fresh.replace(self._folder / f"{pid}.json")
            for old in sorted(self._folder.glob("*.json"), key=_age)[:-MOST]:
                old.unlink(missing_ok=True)

    def code(self, pid: int, started: str) -> int | None:
        """The exit code of a process; None if nobody saw it end."""
        try:
            noted = json.loads((self._folder / f"{pid}.json").read_bytes())
            return int(noted["code"]) if noted["started"] == started else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _age(note: Path) -> float:
    try:
        return note.stat().st_mtime
    except OSError:
        return 0.0
