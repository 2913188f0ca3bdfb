"""What is uploaded by PUT and fetched by GET: bytes below `/storage/`."""

import base64
import hashlib
from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass
class Blob:
    """A place for bytes; `data` is None until they come."""

    path: str
    data: bytes | None = None
    content_type: str = "application/octet-stream"
    received_at: float = 0.0
    puts: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    """Of an upload in parts, until it is complete."""

    def put(self, data: bytes, content_type: str | None, now: float) -> None:
        """Take the whole."""
        self.data, self.received_at = data, now
        self.content_type = content_type or self.content_type
        self.puts += 1

    def join_parts(self, now: float) -> None:
        """Make the whole of its parts."""
        self.put(b"".join(self.parts[number] for number in sorted(self.parts)), None, now)
        self.parts.clear()

    @property
    def size(self) -> int:
        return len(self.data or b"")

    @property
    def md5(self) -> str:
        """Base64, as W&B writes it."""
        return base64.b64encode(hashlib.md5(self.data or b"").digest()).decode()


class Blobs:
    """All blobs by the path of their URL."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}
        self._made = 0

    def place(self, name: str) -> Blob:
        """A new place, with a URL of its own that ends in `name`."""
        self._made += 1
        blob = Blob(f"/storage/{self._made}/{quote(name)}")
        self._blobs[blob.path] = blob
        return blob

    def get(self, path: str) -> Blob | None:
        return self._blobs.get(path)

    def with_data(self) -> dict[str, bytes]:
        """All that was uploaded, by path."""
        return {path: b.data for path, b in self._blobs.items() if b.data is not None}
