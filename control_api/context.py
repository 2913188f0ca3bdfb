"""What views share: the settings and the database of the application that serves the request."""

from dataclasses import dataclass
from typing import cast

from flask import current_app, g, request

from control_api import guard
from control_api.asking import Requester
from control_api.database import Database
from control_api.settings import Settings

KEY = "midcourse"


@dataclass(frozen=True)
class Context:
    """What one application is made of."""

    settings: Settings
    database: Database


def context() -> Context:
    """The present application's."""
    return cast(Context, current_app.extensions[KEY])


def requester() -> Requester:
    """Who sent this request."""
    return Requester(
        actor=guard.actor(), address=request.remote_addr, request_id=g.get("request_id")
    )
