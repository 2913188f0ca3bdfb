"""Examples of what goes over the wire, as the OpenAPI document shows them; tests check them."""

from typing import Any

RUN_ID = "rpd58kqjr"
CHILD_ID = "r77hw9z2m"
_PATH = f"/api/v1/runs/{RUN_ID}"
_HASH = "25c36dba4d8bfc249190309fdae5ade983bbcc407e59d4de6c6704d08fda07b3"

CONFIG: dict[str, Any] = {
    "experiment": "tour",
    "data": {"name": "digits", "batch_size": 64},
    "train": {"epochs": 300, "checkpoint_every": "200 steps"},
}
VALUES: dict[str, Any] = {"optimizer.lr": 0.05, "optimizer.momentum": 0.9, "model.dropout": 0.3}

RUN: dict[str, Any] = {
    "id": RUN_ID,
    "experiment": "tour",
    "name": "first",
    "status": "running",
    "priority": 0,
    "sweep": None,
    "slot": "cpu:0",
    "image": None,
    "command": None,
    "queue_position": None,
    "waits_for": None,
    "tags": ["baseline"],
    "notes": None,
    "archived_at": None,
    "config": CONFIG,
    "origin": None,
    "source": None,
    "replay": None,
    "step": 80,
    "epoch": 3,
    "total_steps": 6900,
    "steps_per_second": 34.9,
    "eta_seconds": 195.4,
    "metrics": {"train/batch_loss": 0.067, "test/accuracy": 0.962},
    "values": VALUES,
    "revision": 1,
    "attempt": 1,
    "error": None,
    "notice": None,
    "summary": {},
    "tracking": {
        "mode": "offline",
        "url": None,
        "server": None,
        "folder": "runs/rpd58kqjr/tracking/wandb",
        "state": "running",
        "error": None,
        "log_offset": 44886,
        "left": None,
        "fork": None,
    },
    "checkpoints": 1,
    "created_by": "admin",
    "created_at": "2026-11-21T11:25:04.085484Z",
    "started_at": "2026-11-21T11:25:37.852851Z",
    "ended_at": None,
    "heartbeat_at": "2026-11-21T11:25:40.120007Z",
    "links": {"self": _PATH, "params": f"{_PATH}/params", "commands": f"{_PATH}/commands"},
}
ORIGIN: dict[str, Any] = {
    "run": RUN_ID,
    "checkpoint": "step-209",
    "changes": {"optimizer.lr": 0.005},
    "warm_start": False,
    "actor": "admin",
    "revert": False,
}
RECEIPT: dict[str, Any] = {
    "run": RUN_ID,
    "seq": 1,
    "state": "applied",
    "step": 135,
    "before": {"optimizer.lr": 0.05},
    "after": {"optimizer.lr": 0.02},
    "details": {"undo_to": "step-135"},
    "reason": None,
    "faults": [],
    "at": "2026-11-21T11:25:42.490748Z",
}
ACTION: dict[str, Any] = {"kind": "set", "changes": {"optimizer.lr": 0.02}}
COMMAND: dict[str, Any] = {
    "run": RUN_ID,
    "seq": 1,
    "action": ACTION,
    "actor": "admin",
    "reason": "loss is noisy",
    "at": None,
    "dry_run": False,
    "state": "applied",
    "accepted_at": "2026-11-21T11:25:42.414712Z",
    "delivered_at": "2026-11-21T11:25:42.432078Z",
    "receipt": RECEIPT,
    "links": {"self": f"{_PATH}/commands/1", "run": _PATH},
}
JOURNAL_ENTRY: dict[str, Any] = {
    "run": RUN_ID,
    "seq": 1,
    "actor": "admin",
    "action": ACTION,
    "reason": "loss is noisy",
    "accepted_at": "2026-11-21T11:25:42.414712Z",
    "at": None,
    "state": "applied",
    "step": 135,
    "before": {"optimizer.lr": 0.05},
    "after": {"optimizer.lr": 0.02},
    "details": {"undo_to": "step-135"},
    "why": None,
    "ended_at": "2026-11-21T11:25:42.490748Z",
}
CHECKPOINT: dict[str, Any] = {
    "run": RUN_ID,
    "name": "step-197",
    "step": 197,
    "reason": "command",
    "state_hash": _HASH,
    "bytes": 102419,
    "created_at": "2026-11-21T11:25:45.852851Z",
    "metrics": {"test/accuracy": 0.962},
    "best": False,
}
SERIES: dict[str, Any] = {"steps": [0, 1, 2], "values": [2.299, 2.294, "NaN"], "next_step": 3}
DELETION: dict[str, Any] = {
    "run": RUN_ID,
    "dry_run": True,
    "deleted_at": None,
    "checkpoints_gone": ["step-197"],
    "checkpoints_kept": [{"name": "step-209", "needed_by": [CHILD_ID]}],
    "checkpoints_freed": [],
    "files": [{"path": "runlog.jsonl", "bytes": 44886}],
    "bytes_freed": 147305,
    "metrics": 12,
    "media": 3,
    "children": [CHILD_ID],
}
TOKEN: dict[str, Any] = {
    "id": 2,
    "name": "ada",
    "role": "operator",
    "created_at": "2026-11-21T11:20:00Z",
    "created_by": "admin",
    "expires_at": "2027-02-19T11:20:00Z",
    "ended_at": None,
    "ended_by": None,
}
AUDIT_ENTRY: dict[str, Any] = {
    "id": 7,
    "at": "2026-11-21T11:25:42.414712Z",
    "actor": "admin",
    "token_id": 1,
    "role": "admin",
    "address": "127.0.0.1",
    "request_id": "5f1c0a9be2d34c71",
    "method": "PATCH",
    "path": f"{_PATH}/params",
    "action": "set",
    "run": RUN_ID,
    "seq": 1,
    "subject": None,
    "outcome": "accepted",
    "status": 202,
    "problem": None,
}

EVENT: dict[str, Any] = {
    "run": RUN_ID,
    "at": "2026-11-21T11:25:37.852851Z",
    "details": {"status": "running", "step": 80},
}

_BRANCH: dict[str, Any] = {
    "id": RUN_ID,
    "name": "first",
    "status": "running",
    "experiment": "tour",
    "step": 480,
    "created_at": "2026-11-21T11:25:04.085484Z",
    "deleted_at": None,
    "origin": None,
    "metrics": {"test/accuracy": 0.962},
}
LINEAGE: dict[str, Any] = {
    "root": RUN_ID,
    "run": CHILD_ID,
    "tree": _BRANCH
    | {
        "children": [
            _BRANCH
            | {"id": CHILD_ID, "name": "slower", "origin": ORIGIN | {"step": 209}, "children": []}
        ]
    },
    "nodes": None,
}
