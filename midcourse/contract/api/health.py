"""Whether a process of the control API serves, and whether it has what it needs."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from midcourse.contract.base import Record, with_examples


class Health(Record):
    """Answer of `GET /healthz`."""

    model_config = with_examples(
        {"status": "ok", "version": "0.1.0", "at": "2026-11-21T11:25:03.997545Z"}
    )

    status: str
    version: str
    at: Annotated[datetime, Field(strict=False)]


class Check(Record):
    """One thing that requests may need."""

    name: str
    """`database`, `migrations` or `reconciler`."""
    ok: bool
    detail: str | None = None
    """What is missing, in a sentence."""


class Readiness(Record):
    """Answer of `GET /readyz`: all that was looked at is there."""

    model_config = with_examples(
        {
            "status": "ready",
            "checks": [
                {"name": "database", "ok": True, "detail": None},
                {"name": "migrations", "ok": True, "detail": None},
                {"name": "reconciler", "ok": True, "detail": None},
            ],
        }
    )

    status: str
    checks: list[Check]
