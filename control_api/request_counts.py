"""Requests, counted and timed for Prometheus.

Each worker process counts for itself, and whichever of them is asked must answer for all: so counts
lie in small files that the workers of one server share (prometheus-client's multiprocess mode).
Everything else that is measured is read from the database, where it is the same for all.
"""

import os
from pathlib import Path

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from control_api.visit import Visit, visit

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""By which prometheus-client is told where the files are; set here, read by nobody else."""
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""In seconds. The last ones are for those who asked to wait."""


class RequestCounts:
    """The counts of one application, or of all that share a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin to count.

        Args:
            folder: what the workers of one server share; None: this process is the only one.
        """
        self._own = CollectorRegistry()
        self._shared = folder is not None
        if folder is not None:
            os.environ[FOLDER_VARIABLE] = str(folder)
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        self._requests = Counter(
            "midcourse_requests",
            "Requests that were answered.",
            ["method", "endpoint", "status"],
            registry=self._own,
        )
        self._seconds = Histogram(
            "midcourse_request_seconds",
            "How long answers took. Long-polls and streams wait on purpose.",
            ["method", "endpoint"],
            buckets=BUCKETS,
            registry=self._own,
        )

    def registry(self) -> CollectorRegistry:
        """What was counted, by every worker; to be shown once, and added to."""
        if not self._shared:
            registry = CollectorRegistry()
            registry.register(self._own)
            return registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def register(self, app: Flask) -> None:
        """Count the requests of an application."""

        @app.after_request
        def end(response: Response) -> Response:
            # Not the path: there are as many as there are runs.
            endpoint = request.url_rule.rule if request.url_rule is not None else "none"
            self.count(visit(), endpoint, response.status_code)
            return response

    def count(self, visit: Visit, endpoint: str, status: int) -> None:
        """Count a request that is answered."""
        method = visit.method if visit.method in METHODS else "other"
        self._requests.labels(method, endpoint, str(status)).inc()
        self._seconds.labels(method, endpoint).observe(visit.seconds)
