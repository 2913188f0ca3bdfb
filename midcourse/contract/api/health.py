"""Whether a process of the control API serves."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from midcourse.contract.base import Record


class Health(Record):
    """Answer of `GET /healthz`."""

    status: str
    version: str
    at: Annotated[datetime, Field(strict=False)]
