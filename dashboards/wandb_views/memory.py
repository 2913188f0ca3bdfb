"""Which views are ours, and what they said last, as a file of the home.

W&B's package gives a report that it saves a new name; then its id alone finds it. And without a
question to the server it is known which of very many reports have something new to say.
"""

import json
import os
from pathlib import Path
from typing import Final

from dashboards.account import CannotPublish

FILE: Final = "published.json"
SAID: Final = "said"


class Memory:
    """`<home>/published.json`: the ids of views by server, project and name, and what they said."""

    def __init__(self, home: Path, server: str) -> None:
        self._path = home / FILE
        self._server = server

    def id_of(self, path: str, name: str) -> str | None:
        """The id under which a view was last seen; None: it is not known here."""
        return self._read().get(self._key(path, name))

    def has_other(self, path: str, name: str, said: str) -> bool:
        """Whether a view was published from here, and last said something else."""
        known, key = self._read(), self._key(path, name)
        return key in known and known.get(f"{key} {SAID}") != said

    def keep(self, path: str, name: str, view_id: str, said: str | None = None) -> None:
        """Remember a view.

        Args:
            path: of its project.
            name: its own.
            view_id: the server's.
            said: a mark of what it says now; None: nobody will ask.

        Raises:
            CannotPublish: the file cannot be written.
        """
        known, key = self._read(), self._key(path, name)
        kept = {**known, key: view_id} | ({} if said is None else {f"{key} {SAID}": said})
        if kept == known:
            return
        text = json.dumps(kept, indent=1)
        fresh = self._path.with_name(f".{FILE}.{os.getpid()}")
        try:
            fresh.write_text(f"{text}\n")
            fresh.replace(self._path)
        except OSError as error:
            raise CannotPublish(f"{self._path} cannot be written: {error.strerror}") from None

    def _key(self, path: str, name: str) -> str:
        return f"{self._server} {path} {name}"

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}  # nothing was published from here yet, or names must do
        return found if isinstance(found, dict) else {}
