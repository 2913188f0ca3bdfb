"""Which views are ours, as a file of the home.

W&B's package gives a report that it saves a new name; then its id alone finds it.
"""

import json
import os
from pathlib import Path
from typing import Final

from dashboards.account import CannotPublish

FILE: Final = "published.json"


class Memory:
    """`<home>/published.json`: the ids of views, by server, project and name."""

    def __init__(self, home: Path, server: str) -> None:
        self._path = home / FILE
        self._server = server

    def id_of(self, path: str, name: str) -> str | None:
        """The id under which a view was last seen; None: it is not known here."""
        return self._read().get(self._key(path, name))

    def keep(self, path: str, name: str, view_id: str) -> None:
        """Remember a view.

        Raises:
            CannotPublish: the file cannot be written.
        """
        known = self._read()
        if known.get(self._key(path, name)) == view_id:
            return
        text = json.dumps({**known, self._key(path, name): view_id}, indent=1)
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
