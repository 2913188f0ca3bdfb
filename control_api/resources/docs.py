"""`/openapi.json` and `/docs`: the API as programs and as people read it. Needs no token.

The page is Swagger UI as flask-openapi3-swagger bundles it. It asks no host but this one, and its
Content-Security-Policy would not let it.
"""

from pathlib import Path

import flask_openapi3_swagger
from flask import Response, current_app, send_file
from werkzeug.exceptions import NotFound

from control_api.answers import HTML, Gives
from control_api.openapi import document_text
from control_api.resource import Resource
from control_api.roles import OPEN, needs

resource = Resource("docs", "This document, and its page.", needs_token=False)

_PAGES = Path(__file__).resolve().parent.parent / "pages"
_SWAGGER = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"
_FILES = {
    "start.js": _PAGES / "start.js",
    "swagger-ui.js": _SWAGGER / "js" / "swagger-ui-bundle.js",
    "swagger-ui.css": _SWAGGER / "css" / "swagger-ui.css",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Swagger UI styles its elements as it goes, which needs `unsafe-inline`; scripts are files."""


@resource.get("/openapi.json", Gives(about="OpenAPI 3.1."))
def openapi() -> Response:
    """This document."""
    return Response(document_text(current_app), content_type="application/json")


@resource.get("/docs", Gives(media=HTML))
def docs() -> Response:
    """This document as a page, from which requests can be sent."""
    page = (_PAGES / "docs.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return Response(page, content_type="text/html; charset=utf-8", headers=headers)


@needs(OPEN)
@needs(OPEN)
def docs_file(file: str) -> Response:
    """What the page is made of."""
    if file not in _FILES:
        raise NotFound
    return send_file(_FILES[file])


resource.blueprint.add_url_rule("/docs/<file>", view_func=docs_file)
