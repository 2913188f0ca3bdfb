"""Server-sent events, as the HTML standard has them: lines into events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSent:
    """One event of a stream."""

    data: str
    kind: str = "message"
    id: str = ""
    """The last id that the stream has named, to resume after."""


def parse(lines: Iterable[str]) -> Iterator[ServerSent]:
    """The events in the lines of a stream; a comment, or one cut off by the end, is none."""
    data: list[str] = []
    kind = ""
    last_id = ""
    for line in lines:
        if not line:
            if data:
                yield ServerSent("\n".join(data), kind or "message", last_id)
            data, kind = [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, however the network cut them; ended by LF, CR LF or CR.

    A CR at the end of a chunk is kept until it is known whether an LF follows.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        held = b"\r" if rest.endswith(b"\r") else b""
        whole = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        for line in lines:
            yield line.decode("utf-8", errors="replace")
    if rest.endswith(b"\r"):
        yield rest[:-1].decode("utf-8", errors="replace")
