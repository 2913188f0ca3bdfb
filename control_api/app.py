"""The application factory: the whole service on one page."""

from collections.abc import Callable
from datetime import datetime

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.openapi import OpenAPI

from control_api import cors, errors, guard, logs, openapi, refusals
from control_api.collector import Collector
from control_api.context import KEY, Context
from control_api.database import Database
from control_api.door import Door
from control_api.guard import Guard
from control_api.request_counts import RequestCounts
from control_api.resources import (
    actions,
    audit,
    branches,
    checkpoints,
    commands,
    console,
    docs,
    events,
    experiments,
    forks,
    health,
    journal,
    lineage,
    metrics,
    params,
    prometheus,
    runs,
    slots,
    sync,
    tokens,
    whoami,
)
from control_api.settings import Settings
from control_api.views import API
from midcourse.contract.base import utc_now

RESOURCES = (
    runs,
    actions,
    experiments,
    lineage,
    slots,
    sync,
    params,
    commands,
    branches,
    forks,
    checkpoints,
    metrics,
    events,
    console,
    journal,
    whoami,
    tokens,
    audit,
    docs,
)
"""Below `/api/v1`, in the order of the OpenAPI document."""
OUTSIDE = (health, prometheus)
"""Outside of the version."""


def create_app(
    settings: Settings,
    database: Database | None = None,
    now: Callable[[], datetime] = utc_now,
    counts: RequestCounts | None = None,
) -> OpenAPI:
    """An application over the settings' database, whose tables must have been migrated.

    It starts nothing: trainers are the reconciler's (`control_api.reconciler`).
    """
    app = openapi.new_app(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    database = database or Database(settings.database_url)
    counts = counts or RequestCounts()
    here = Context(settings, database, Collector(database), counts, now)
    app.extensions[KEY] = here
    doorkeeper = Guard(settings, database, now)

    logs.register(app)
    counts.register(app)
    cors.register(app, settings)
    guard.register(app, doorkeeper)
    refusals.register(app, database)
    errors.register(app)

    api = APIBlueprint("api", __name__, url_prefix=API)
    for module in RESOURCES:
        if hasattr(module, "resource"):
            api.register_api(module.resource.blueprint)
        else:
            api.register_blueprint(module.blueprint)
    app.register_api(api)
    for module in OUTSIDE:
        app.register_api(module.resource.blueprint)
    app.wsgi_app = Door(app.wsgi_app, here, doorkeeper)  # type: ignore[method-assign]
    return app
