"""The lines of one of a run's streams, as the file stream writes them: by number, at offsets."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Overwrite:
    """A line that was written again with other content."""

    number: int
    before: str
    after: str


class Lines:
    """Lines by number; it remembers which were changed, and knows which are missing."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._lines: list[str | None] = list(lines)
        self._parsed: dict[int, dict[str, Any]] = {}
        self.overwritten: list[Overwrite] = []

    def __len__(self) -> int:
        """One more than the greatest number; the missing ones count."""
        return len(self._lines)

    def write(self, offset: int, content: Sequence[str]) -> None:
        """Put lines at `offset` and after; the same line twice is no overwriting."""
        missing = offset + len(content) - len(self._lines)
        self._lines.extend([None] * max(0, missing))
        for number, line in enumerate(content, start=offset):
            before = self._lines[number]
            if before is not None and before != line:
                self.overwritten.append(Overwrite(number, before, line))
            if before != line:
                self._parsed.pop(number, None)
            self._lines[number] = line

    @property
    def present(self) -> list[str]:
        """All lines that came, in order."""
        return [line for line in self._lines if line is not None]

    def tail(self, count: int) -> list[str]:
        """The last lines."""
        found = [line for line in self._lines[-count:] if line is not None]
        return found if len(found) == min(count, len(self)) else self.present[-count:]

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each line that came, with the object that it is; parsed once, as histories are long."""
        for number, line in enumerate(self._lines):
            if line is None:
                continue
            if number not in self._parsed:
                self._parsed[number] = json.loads(line)
            yield line, self._parsed[number]

    @property
    def gaps(self) -> list[range]:
        """The numbers that never came, below one that did."""
        found: list[range] = []
        for number, line in enumerate(self._lines):
            if line is not None:
                continue
            if found and found[-1].stop == number:
                found[-1] = range(found[-1].start, number + 1)
            else:
                found.append(range(number, number + 1))
        return found
