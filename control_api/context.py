"""What views share: the settings and the database of the application that serves the request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import current_app

from control_api.asking import Requester
from control_api.collector import Collector
from control_api.database import Database
from control_api.request_counts import RequestCounts
from control_api.settings import Settings
from control_api.visit import visit
from midcourse.contract.base import utc_now

KEY = "midcourse"


@dataclass(frozen=True)
class Context:
    """What one application is made of."""

    settings: Settings
    database: Database
    collector: Collector
    counts: RequestCounts
    now: Callable[[], datetime] = utc_now
    """The clock by which tokens expire."""


def context() -> Context:
    """The present application's."""
    return cast(Context, current_app.extensions[KEY])


def requester() -> Requester:
    """Who sent this request."""
    return visit().requester
