"""A run as GraphQL shows it."""

import json
import re
from typing import Any

from wandb_server import history
from wandb_server.artifact_node import ArtifactNode
from wandb_server.connection import Connection
from wandb_server.executor import Args
from wandb_server.runs import Run, RunFile
from wandb_server.store import Store
from wandb_server.times import iso


class RunNode:
    """Fields of `Run`; those with arguments are methods."""

    typename = "Run"

    def __init__(self, store: Store, run: Run) -> None:
        self._store, self._run = store, run
        self.id = run.storage_id
        self.name = run.id
        self.display_name = run.display_name or run.id
        self.description = run.description
        self.notes = run.notes
        self.tags = list(run.tags)
        self.group = run.group
        self.group_name = run.group
        self.job_type = run.job_type
        self.state = run.state
        self.host = run.host
        self.commit = run.commit
        self.stopped = run.stop_wanted
        self.sweep_name = None
        self.sweep = None
        self.read_only = False
        self.created_at = iso(run.created_at)
        self.heartbeat_at = iso(run.heartbeat_at)
        self.user = {"__typename": "User", "name": run.username, "username": run.username}
        self.config = json.dumps(run.raw_config)
        self.summary_metrics = json.dumps(run.summary)
        self.history_line_count = len(run.history)
        self.events_line_count = len(run.events)
        self.log_line_count = len(run.output)
        self.history_tail = json.dumps(run.history.tail(1))
        self.events_tail = json.dumps(run.events.tail(1))

    @property
    def project(self) -> object:
        from wandb_server.project_node import ProjectNode  # a project shows runs in turn

        return ProjectNode(
            self._store, self._store.make_project(self._run.entity, self._run.project)
        )

    @property
    def project_id(self) -> int:
        return self._store.make_project(self._run.entity, self._run.project).number

    @property
    def system_metrics(self) -> str:
        last = self._run.events.tail(1)
        return last[0] if last else "{}"

    @property
    def history_keys(self) -> dict[str, Any]:
        return history.keys(self._run)

    def wandb_config(self, args: Args) -> str:
        """W&B's own part of the config; a run without the key `t` cannot be resumed."""
        own = self._run.raw_config.get("_wandb", {}).get("value", {})
        wanted = args.get("keys")
        return json.dumps({k: v for k, v in own.items() if wanted is None or k in wanted})

    def history(self, args: Args) -> list[str]:
        return history.page(self._run, args)

    def events(self, args: Args) -> list[str]:
        return history.sample(self._run.events.present, int(args.get("samples") or history.SAMPLES))

    def sampled_history(self, args: Args) -> list[list[dict[str, Any]]]:
        return [history.sampled(self._run, spec) for spec in args["specs"]]

    def parquet_history(self, args: Args) -> dict[str, Any]:
        """Nothing was exported to Parquet: all is live."""
        wanted = args.get("liveKeys") or []
        rows = [
            history.strict({key: row[key] for key in wanted if key in row})
            for row in self._run.rows
        ]
        return {"parquetUrls": [], "liveData": rows}

    def log_lines(self, args: Args) -> Connection:
        lines = list(enumerate(self._run.output.present))
        if args.get("last") is not None:
            lines = lines[-int(args["last"]) :]
        return Connection(lines, args, _log_line)

    @property
    def file_count(self) -> int:
        return len(self._run.files)

    def files(self, args: Args) -> Connection:
        names, pattern = args.get("names"), args.get("pattern")
        found = [
            file
            for name, file in sorted(self._run.all_files.items())
            if (file.blob.data is not None or args.get("upload"))
            and (not names or name in names)
            and (not pattern or _like(pattern).fullmatch(name))
        ]
        return Connection(found, args, lambda file: FileNode(self._store, file))

    def output_artifacts(self, args: Args) -> Connection:
        return self._artifacts(self._run.logged, args)

    def input_artifacts(self, args: Args) -> Connection:
        return self._artifacts(self._run.used, args)

    def _artifacts(self, artifacts: list[Any], args: Args) -> Connection:
        kept = [artifact for artifact in artifacts if artifact.state != "DELETED"]
        return Connection(kept, args, lambda each: ArtifactNode(self._store, each))


def _like(pattern: str) -> re.Pattern[str]:
    """MySQL's LIKE."""
    signs = {"%": ".*", "_": "."}
    return re.compile("".join(signs.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL)


_STAMPED = re.compile(r"(?:(ERROR) )?(\d{4}-\d\d-\d\dT\S+) (.*)", re.DOTALL)


def _log_line(numbered: tuple[int, str]) -> dict[str, Any]:
    number, line = numbered
    found = _STAMPED.fullmatch(line)
    level, timestamp, text = found.groups() if found else (None, None, line)
    return {
        "number": number,
        "line": text,
        "level": (level or "info").lower(),
        "label": "",
        "timestamp": timestamp,
    }


class FileNode:
    """A file of a run."""

    typename = "File"

    def __init__(self, store: Store, file: RunFile) -> None:
        self.id = file.id
        self.name = self.display_name = file.name
        self.direct_url = self._url = f"{store.url}{file.blob.path}"
        self.size_bytes = file.blob.size
        self.mimetype = file.mimetype
        self.updated_at = iso(file.blob.received_at)
        self.md5 = self.digest = file.blob.md5

    def url(self, _: Args) -> str:
        return self._url
