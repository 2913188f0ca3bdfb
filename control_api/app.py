"""The application factory: the whole service on one page."""

from flask import Blueprint, Flask

from control_api import errors, guard, logs
from control_api.context import KEY, Context
from control_api.database import Database
from control_api.resources import (
    branches,
    checkpoints,
    commands,
    health,
    journal,
    link,
    metrics,
    params,
    runs,
)
from control_api.settings import Settings
from control_api.views import API

RESOURCES = (runs, params, commands, branches, checkpoints, metrics, journal, link)


def create_app(settings: Settings, database: Database | None = None) -> Flask:
    """An application over the settings' database, whose tables must have been migrated.

    It starts nothing: trainers are the reconciler's (`control_api.reconciler`).
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    database = database or Database(settings.database_url)
    app.extensions[KEY] = Context(settings=settings, database=database)

    logs.register(app)
    guard.register(app, settings, database)
    errors.register(app)

    api = Blueprint("api", __name__, url_prefix=API)
    for resource in RESOURCES:
        api.register_blueprint(resource.blueprint)
    app.register_blueprint(api)
    app.register_blueprint(health.blueprint)
    return app
