"""`GET /metrics`: requests, runs, slots, queue and reconciler, as Prometheus reads them."""

from flask import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from control_api.answers import TEXT, Gives
from control_api.context import context
from control_api.gauges import Gauges
from control_api.resource import Resource
from midcourse.contract.base import utc_now

resource = Resource("prometheus", "What a monitor reads.")


@resource.get("/metrics", Gives(media=TEXT, about="Prometheus's text format."))
def expose_metrics() -> Response:
    """How things stand, in Prometheus's text format.

    Requests are counted over all worker processes of the server that is asked; everything else is
    read from the database.
    """
    here = context()
    registry = here.counts.registry()
    registry.register(Gauges(here.settings, here.database, utc_now()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
