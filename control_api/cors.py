"""Answers to pages of other origins, where some were configured: never to all, never with cookies.

Without a setting there is none of this, and a browser keeps every answer from foreign pages.
"""

from collections.abc import Mapping

from flask import Flask, Response, request

from control_api.origins import Names
from control_api.settings import Settings

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, Prefer"
    ),
    "Access-Control-Max-Age": "600",
}
_EXPOSED = {
    "Access-Control-Expose-Headers": (
        "ETag, Idempotency-Replayed, Location, Preference-Applied, Retry-After, X-Request-Id"
    )
}


def register(app: Flask, settings: Settings) -> None:
    """Let the browser know what known pages may do. Preflights have no token: before the guard."""
    if not settings.cors_origins:
        return
    names = Names(settings)

    @app.before_request
    def answer_preflight() -> Response | None:
        """It asks whether a token may be sent."""
        asks = "Access-Control-Request-Method" in request.headers
        if request.method == "OPTIONS" and asks and names.is_known_page(_origin()):
            names.check(request.method, request.environ.get("RAW_URI", ""), request.headers)
            return Response(status=204, headers=_PREFLIGHT)
        return None

    @app.after_request
    def end(response: Response) -> Response:
        response.vary.add("Origin")
        if names.is_known_page(_origin()):
            _add(response, {"Access-Control-Allow-Origin": _origin() or ""})
            _add(response, _EXPOSED)
        return response


def _origin() -> str | None:
    return request.headers.get("Origin")


def _add(response: Response, headers: Mapping[str, str]) -> None:
    response.headers.update(dict(headers))
