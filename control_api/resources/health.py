"""`GET /healthz` and `/readyz`: whether this process serves, and whether it has what it needs."""

from flask import Response

from control_api import readiness
from control_api.answers import Gives
from control_api.context import context
from control_api.http import answer
from control_api.problems import NotReady
from control_api.resource import Resource
from midcourse.contract.api.health import Health, Readiness
from midcourse.contract.base import utc_now
from midcourse.version import __version__

resource = Resource("health", "Whether it serves.", needs_token=False)


@resource.get("/healthz", Gives(Health))
def healthz() -> Response:
    """Whether this process serves.

    It does not look at the database: no restart of this process would bring that back.
    """
    return answer(Health(status="ok", version=__version__, at=utc_now()))


@resource.get("/readyz", Gives(Readiness), problems=[NotReady])
def readyz() -> Response:
    """Whether the database answers, its tables are of this version, and a reconciler is at work."""
    here = context()
    return answer(readiness.look(here.settings, here.database, utc_now()))
