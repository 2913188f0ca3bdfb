"""Runs: what they were told by clients, and what people did to them on the page."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wandb_server.blobs import Blob
from wandb_server.lines import Lines, Overwrite

if TYPE_CHECKING:
    from wandb_server.artifacts import Artifact

CRASHED_SECONDS = 300.0
"""Without a word for so long, a running run is taken for crashed."""


@dataclass(frozen=True)
class Alert:
    """What `run.alert` sent."""

    title: str
    text: str
    level: str
    wait_seconds: float


@dataclass
class RunFile:
    """A file of a run; `blob.data` is None until it was uploaded."""

    name: str
    blob: Blob
    mimetype: str

    @property
    def id(self) -> str:
        return base64.b64encode(f"File:{self.blob.path}".encode()).decode()


@dataclass(eq=False, repr=False)
class Run:
    """One run. `id` is what the SDK calls so; `storage_id` is the server's own."""

    entity: str
    project: str
    id: str
    clock: Callable[[], float]
    username: str
    created_at: float = field(init=False)
    heartbeat_at: float = field(init=False)
    display_name: str = ""
    raw_config: dict[str, Any] = field(default_factory=dict)
    """As sent: each value as `{"value": ...}`, and `_wandb`."""
    summary: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    description: str | None = None
    group: str | None = None
    job_type: str | None = None
    host: str | None = None
    program: str | None = None
    commit: str | None = None
    told_state: str = "running"
    exit_code: int | None = None
    history: Lines = field(default_factory=Lines)
    events: Lines = field(default_factory=Lines)
    output: Lines = field(default_factory=Lines)
    all_files: dict[str, RunFile] = field(default_factory=dict)
    """Announced ones too; `files` are those that came."""
    alerts: list[Alert] = field(default_factory=list)
    used: "list[Artifact]" = field(default_factory=list)
    logged: "list[Artifact]" = field(default_factory=list)
    stop_wanted: bool = False
    forked_from: tuple[str, int] | None = None
    """The parent's id and the step, of a native fork."""
    copied_rows: int = 0
    """Rows at the beginning that a native fork has from its parent."""

    def __post_init__(self) -> None:
        self.created_at = self.heartbeat_at = self.clock()

    def __repr__(self) -> str:
        return f"<run {self.id}: {self.state}, {len(self.history)} rows>"

    @property
    def storage_id(self) -> str:
        text = f"Run:v1:{self.id}:{self.project}:{self.entity}"
        return base64.b64encode(text.encode()).decode()

    @property
    def path(self) -> str:
        """Of its page."""
        return f"/{self.entity}/{self.project}/runs/{self.id}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, in order."""
        return [row for _, row in self.history.rows()]

    @property
    def overwritten(self) -> list[Overwrite]:
        """Lines of the history that were written again with other content."""
        return self.history.overwritten

    @property
    def gaps(self) -> list[range]:
        """Numbers of lines that the history lacks."""
        return self.history.gaps

    @property
    def config(self) -> dict[str, Any]:
        """The values alone, without W&B's own."""
        return {
            key: item["value"] if isinstance(item, dict) and "value" in item else item
            for key, item in self.raw_config.items()
            if key not in ("_wandb", "wandb_version")
        }

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of each uploaded file by name."""
        return {
            name: file.blob.data
            for name, file in self.all_files.items()
            if file.blob.data is not None
        }

    @property
    def last_step(self) -> int:
        """The greatest step of the history; -1 without one."""
        return max((row.get("_step", -1) for row in self.rows), default=-1)

    @property
    def state(self) -> str:
        """As shown: one that is running and has been silent for long has crashed."""
        silent = self.clock() - self.heartbeat_at > CRASHED_SECONDS
        return "crashed" if self.told_state == "running" and silent else self.told_state

    def set_config(self, text: str) -> None:
        """Take a config as JSON; a copy of W&B's own part stays where none is sent."""
        given = json.loads(text)
        self.raw_config = {**_only(self.raw_config, "_wandb"), **given}

    def stream(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take one batch of the file stream.

        Returns:
            What it is answered: `stopped` once somebody pressed Stop.
        """
        self.heartbeat_at = self.clock()
        files = body.get("files") or {}
        for name, lines in (
            ("wandb-history.jsonl", self.history),
            ("wandb-events.jsonl", self.events),
            ("output.log", self.output),
        ):
            if part := files.get(name):
                lines.write(part.get("offset", 0), part["content"])
        if part := files.get("wandb-summary.json"):
            self.summary = json.loads(part["content"][-1])
        if body.get("complete"):
            self.exit_code = body.get("exitcode")
            self.told_state = "finished" if self.exit_code == 0 else "failed"
        return {"stopped": True} if self.stop_wanted else {}

    def rewind(self, step: int) -> None:
        """Take back the rows after a step."""
        self.history = Lines(self.lines_until(step))

    def lines_until(self, step: int) -> list[str]:
        """The history's lines up to a step, which belongs to them."""
        return [line for line, row in self.history.rows() if row.get("_step", 0) <= step]

    def begin(self) -> None:
        """It is under way, for the first time or again."""
        self.told_state, self.exit_code, self.heartbeat_at = "running", None, self.clock()
        self.stop_wanted = False


def _only(tree: dict[str, Any], key: str) -> dict[str, Any]:
    return {key: tree[key]} if key in tree else {}
