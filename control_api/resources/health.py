"""`GET /healthz`: whether this process serves and reaches its database. Needs no token."""

from flask import Blueprint, Response
from sqlalchemy import text

from control_api.context import context
from control_api.http import answer
from midcourse.contract.api.health import Health
from midcourse.contract.base import utc_now
from midcourse.version import __version__

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that all is well."""
    with context().database.reading() as session:
        session.execute(text("SELECT 1"))
    return answer(Health(status="ok", version=__version__, at=utc_now()))
