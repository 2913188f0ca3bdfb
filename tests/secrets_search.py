"""A search for planted secrets: in files, in all columns of a database, on command lines, in texts.

Each secret is looked for as it is, and as it would stand in a URL, in base64 and in JSON.
"""

import base64
import contextlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import MetaData, create_engine, select

SHORTEST = 8
"""A shorter word would be found by chance."""


@dataclass
class Search:
    """Where what was found."""

    secrets: Mapping[str, str]
    """By what to call it."""
    found: list[str] = field(default_factory=list)
    looked: int = 0
    """How many things were looked into: a search that sees nothing finds nothing."""

    def text(self, where: str, text: str | bytes) -> None:
        """Look into one text."""
        self.looked += 1
        data = text.encode(errors="replace") if isinstance(text, str) else text
        for name, secret in self.secrets.items():
            assert len(secret) >= SHORTEST
            if any(form in data for form in _forms(secret)):
                self.found.append(f"{name} in {where}")

    def files(self, folder: Path, *, but: Iterable[Path] = ()) -> None:
        """Look into every file below a folder, and at its name."""
        for path in sorted(folder.rglob("*")):
            self.text(f"the name {path}", str(path))
            if path.is_file() and path not in but:
                self.text(str(path), path.read_bytes())

    def database(self, url: str) -> None:
        """Look into every column of every table."""
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        metadata = MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            for table in metadata.sorted_tables:
                for row in connection.execute(select(table)).mappings():
                    for column, value in row.items():
                        self.text(f"{table.name}.{column}", _written(value))
        engine.dispose()

    def command_lines(self, seen: Iterable[str]) -> None:
        """Look at command lines, as `Watch` has seen them."""
        for line in seen:
            self.text(f"the process list: {line[:100]}", line)


class Watch:
    """Sees the command line of every process in whose environment a variable has a value."""

    def __init__(self, name: str, value: str, *, seconds: float = 0.02) -> None:
        self._wanted = f"{name}={value}".encode()
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self.seen: set[str] = set()

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if self._wanted in (folder / "environ").read_bytes().split(b"\0"):
                        line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                        self.seen.add(line.decode(errors="replace").strip())
            if self._ending.wait(self._seconds):
                return


def environment_of(pid: int) -> str:
    """All variables of a process, a line each."""
    return Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b"\n").decode()


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    # In base64 behind something else, all but its first and last characters are the same.
    shifted = {base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)}
    return {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), *shifted}


def _written(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
