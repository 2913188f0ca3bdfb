"""The OpenAPI document is whole and true: served, frozen in docs/, and every example holds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from flask import Response
from pydantic import BaseModel, TypeAdapter

from control_api.answers import REF, Gives, problem_model
from control_api.app import create_app
from control_api.openapi import document, operations_of
from control_api.problems import ApiProblem, LostPlace, WrongOffset
from control_api.resource import Resource
from control_api.settings import Settings
from midcourse.contract.api.values import Nothing
from midcourse.contract.names import RunId

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return create_app(Settings(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def told(app):
    return document(app)


def test_the_frozen_copy_is_current():
    """If this fails and the change is meant: `make docs`, and commit docs/openapi.json."""
    script = ROOT / "scripts" / "write_openapi.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_served_as_it_is_frozen_and_needs_no_token(app):
    answer = app.test_client().get("/api/v1/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.text == (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")


def test_every_address_is_in_it_but_the_trainers_and_the_pages_own(app, told):
    served = {
        (method, re.sub(r"<(?:[^<:]+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "/link/" not in rule.rule and rule.rule != "/api/v1/docs/<file>"
    }
    assert served == {(method.upper(), path) for path, method, _ in operations(told)}


def test_every_operation_says_what_it_is(told):
    names = [operation["operationId"] for _, _, operation in operations(told)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(told):
        where = f"{method} {path}"
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), where
        assert re.fullmatch(r"[A-Z].*[.`]", operation["summary"]), where
        assert len(operation["tags"]) == 1, where
        assert {"403", "422", "500", "503"} <= operation["responses"].keys(), where
        needs_token = operation.get("security") == [{"token": []}]
        assert needs_token == ("401" in operation["responses"]), where
        assert needs_token == ("Needs the role" in operation.get("description", "")), where


def test_names_of_operations_are_more_than_a_verb_unless_they_are_a_runs(told):
    """Clients make methods of them: `client.pause(run)`, but not `client.list()`."""
    vague = {"show", "list", "list_all", "list_entries", "make", "download", "change", "delete"}
    assert vague & {operation["operationId"] for _, _, operation in operations(told)} == set()


def test_every_reference_leads_somewhere(told):
    for ref in refs(told):
        node = told
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]


def test_every_schema_is_json_schema(told):
    for schema in told["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_a_query_never_takes_null(told):
    for _, _, operation in operations(told):
        for parameter in operation["parameters"]:
            assert '"null"' not in json.dumps(parameter), parameter


def models(app) -> dict[str, type[BaseModel]]:
    """What goes over the wire: bodies and answers."""
    found = {}
    for operation in operations_of(app).values():
        for model in (operation.takes.body, *operation.models):
            if model not in (None, Nothing):
                found[model.__name__] = model
    return found


def test_every_body_and_answer_has_examples_that_hold(app, told):
    schemas = told["components"]["schemas"]
    for name, model in models(app).items():
        examples = schemas[name].get("examples", [])
        assert examples, f"{name} has no example"
        root = {"$ref": REF + name, "components": told["components"]}
        for example in examples:
            TypeAdapter(model).validate_json(json.dumps(example))
            jsonschema_rs.validate(root, example)


def test_every_problem_can_be_met(told):
    """A class that no view declares would be refused by nobody, or told to nobody."""
    said = {name for name in told["components"]["schemas"] if re.search(r"\wProblem$", name)}
    of_the_link = {LostPlace, WrongOffset}
    kinds = [None, *(kind for kind in ApiProblem.__subclasses__() if kind not in of_the_link)]
    assert {problem_model(kind).__name__ for kind in kinds} == said


# The page


def test_the_page_needs_no_token_and_no_outside_host(app):
    client = app.test_client()
    page = client.get("/api/v1/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("script-src") == "'self'"
    assert {word for words in policy.values() for word in words.split()} <= {
        "'self'",
        "'none'",
        "'unsafe-inline'",  # of styles alone; scripts were looked at above
        "data:",
    }
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 5
    for file in files:
        if file == "data:,":
            continue
        assert not re.match(r"[a-z]+:|//", file)
        with client.get(f"/api/v1/{file}") as answer:
            assert (answer.status_code, bool(answer.data)) == (200, True)
            if not file.endswith("swagger-ui.js"):  # full of names of namespaces and licences
                outside = re.findall(rb"(?:url\(|@import|src=)[\"' ]*(?:https?:)?//", answer.data)
                assert outside == []


def test_the_page_has_no_other_files(app):
    answer = app.test_client().get("/api/v1/docs/..%2fdocs.html")
    assert answer.status_code in (401, 404)
    assert app.test_client().get("/api/v1/docs/docs.html").status_code == 404


# What a view declares is held to


def test_a_view_that_forgets_a_part_of_its_path_is_no_view():
    resource = Resource("things", "Things.", prefix="/runs/<run_id>")
    with pytest.raises(AssertionError, match="show_thing"):

        @resource.get("/things/<thing>", Gives())
        def show_thing(run_id: RunId) -> Response:
            """Never."""


def test_a_problem_gives_exactly_the_members_that_it_declares():
    with pytest.raises(AssertionError):
        WrongOffset("goes on elsewhere")


def operations(told):
    """Path, method and operation of each."""
    for path, item in told["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def refs(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)
