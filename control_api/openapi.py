"""The OpenAPI document of an application: what flask-openapi3 collected, made whole."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Flask
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from control_api.answers import JSON, MERGE_PATCH, PROBLEM_JSON, REF, problem_model
from control_api.problems import ApiProblem
from control_api.resource import SECURITY, Operation
from midcourse.contract.errors import Problem

VERSION = "1"
"""Of the API: the `v1` of its addresses."""

_TEXT = "midcourse-openapi"
_PLACES = ("path", "query", "header")

_ABOUT = """\
Change the course of a machine-learning run while it trains, exactly and on the record.

Every error is `application/problem+json` (RFC 9457): `type` is stable, `detail` says what to do, \
`faults` names everything that was wrong. Every answer has an `X-Request-Id`, which the log \
repeats. Bodies are JSON as RFC 8259 has it; unknown keys and query names are refused.
"""

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "The admin's is in `<home>/token`; it can make others.",
}


def new_app(name: str) -> OpenAPI:
    """An application that collects what its resources declare."""
    return OpenAPI(
        name,
        info=Info(title="Midcourse", version=VERSION, description=_ABOUT),
        security_schemes={next(iter(SECURITY)): _TOKEN},
        validation_error_model=Problem,
        doc_ui=False,
        static_folder=None,
    )


def document(app: OpenAPI) -> dict[str, Any]:
    """The OpenAPI document, as JSON has it.

    flask-openapi3 knows fewer words of JSON Schema than pydantic writes; the schemas of the models
    are therefore taken from pydantic itself.
    """
    found: dict[str, Any] = json.loads(json.dumps(app.api_doc))
    declared = operations_of(app)
    schemas = _schemas(declared.values())
    refusals: dict[str, Any] = {}
    for method, told in _operations(found):
        query = schemas[declared[told["operationId"]].takes.query.__name__]
        told["parameters"] = _parameters(told.get("parameters", []), query.get("properties", {}))
        told["responses"] = _responses(told["responses"], refusals)
        if "requestBody" in told:
            body, takes = told["requestBody"], declared[told["operationId"]].takes
            assert takes.body is not None
            must_say = "minProperties" in schemas[takes.body.__name__]
            body["required"] = must_say or not takes.may_be_empty
            if method == "patch":
                body["content"][MERGE_PATCH] = body["content"][JSON]
    needed = _reached([found["paths"], refusals], schemas)
    found["components"]["schemas"] = {name: schemas[name] for name in sorted(needed)}
    found["components"]["responses"] = dict(sorted(refusals.items()))
    return found


def document_text(app: Flask) -> str:
    """The OpenAPI document of the application that serves, made once."""
    assert isinstance(app, OpenAPI)
    if _TEXT not in app.extensions:
        app.extensions[_TEXT] = json.dumps(document(app), indent=1, ensure_ascii=False) + "\n"
    text: str = app.extensions[_TEXT]
    return text


def operations_of(app: Flask) -> dict[str, Operation]:
    """What the views of an application declare, by their names, which no two may share."""
    found: dict[str, Operation] = {}
    for view in app.view_functions.values():
        if operation := getattr(view, "operation", None):
            assert view.__name__ not in found, f"two views are called {view.__name__}"
            found[view.__name__] = operation
    return found


class _Schemas(GenerateJsonSchema):
    """Without a title for each field, which would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in found["paths"].values():
        yield from item.items()


def _parameters(given: list[dict[str, Any]], query: dict[str, Any]) -> list[dict[str, Any]]:
    """Parameters in the order in which people write them, with their whole schemas."""
    for parameter in given:
        whole = query.get(parameter["name"]) if parameter["in"] == "query" else None
        parameter["schema"] = _without_null(whole or parameter["schema"])
        for word in ("description", "example"):  # these are the parameter's own
            parameter["schema"].pop(word, None)
    return sorted(given, key=lambda parameter: _PLACES.index(parameter["in"]))


def _responses(given: dict[str, Any], refusals: dict[str, Any]) -> dict[str, Any]:
    """The same with a name for each refusal, under which it is put in `refusals`, once for all."""
    found = {}
    for status, response in given.items():
        if PROBLEM_JSON in response["content"]:
            types = response["content"][PROBLEM_JSON]["schema"]["discriminator"]["mapping"]
            name = ".".join([status, *(kind.rpartition("/")[2] for kind in sorted(types))])
            name = name.replace("about:blank", "plain")
            assert refusals.setdefault(name, response) == response
            found[status] = {"$ref": f"#/components/responses/{name}"}
        else:
            found[status] = response
    return found


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    """The JSON Schemas of all that operations speak of, by name."""
    kinds: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    problems: dict[type[ApiProblem], None] = {}
    for operation in operations:
        kinds |= {(model, "serialization"): None for model in operation.models}
        takes = (operation.takes.query, operation.takes.body)
        kinds |= {(model, "validation"): None for model in takes if model is not None}
        problems |= dict.fromkeys(operation.problems)
    refused = [problem_model(None), *map(problem_model, problems)]
    given = [*kinds, *((model, "serialization") for model in refused)]
    _, told = models_json_schema(given, ref_template=REF + "{model}", schema_generator=_Schemas)
    schemas: dict[str, Any] = told["$defs"]
    names = {model.__name__ for model, _ in given}
    assert names <= schemas.keys(), f"two models have one name: {names - schemas.keys()}"
    return schemas


def _reached(node: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of the schemas that something refers to, also by way of others."""
    reached: set[str] = set()
    to_do = [node]
    while to_do:
        new = {ref.removeprefix(REF) for ref in _refs(to_do.pop())} - reached
        reached |= new
        to_do += [schemas[name] for name in new]
    return reached


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if str(node.get("$ref")).startswith(REF):
            yield node["$ref"]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query or a header has no word for null: what may be null may be left away."""
    schema = dict(schema)
    if "anyOf" in schema:
        others = [kind for kind in schema.pop("anyOf") if kind.get("type") != "null"]
        schema |= others[0] if len(others) == 1 else {"anyOf": others}
    if schema.get("default", ...) is None:
        del schema["default"]
    schema.pop("title", None)
    return schema
