"""`midcourse params`: what can be changed live, and what it is now."""

from typing import Any

import click
from pydantic import JsonValue

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import show_record, show_table, value

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


@click.command()
@run_argument
@common
def params(said: Common, run: str) -> None:
    """What can be changed live on a run, what it is now, and what is allowed.

    Parameters without a value have no meaning for what the run has chosen, or it has not begun.
    """
    client = said.client
    answer = client.params(client.find(run))
    if said.as_json:
        show_record(answer)
        return
    properties: Any = answer.parameters_schema.get("properties", {})
    rows = [
        [
            name,
            value(answer.values[name]) if name in answer.values else "",
            allowed(schema),
        ]
        for name, schema in properties.items()
    ]
    show_table(("PARAMETER", "VALUE", "ALLOWED"), rows)
    click.echo(f"\nrevision {answer.revision}; midcourse set {answer.run} NAME=VALUE", err=True)


def allowed(schema: Any) -> str:
    """What a schema allows, in a few words."""
    forms = schema.get("anyOf", [schema])
    words: list[str] = []
    for form in forms:
        ways = {
            word: said.get("enum", [])
            for word, said in form.get("properties", {}).items()
            if word != "value"
        }
        if "value" in form.get("properties", {}):
            words += [f"{word} {_either(answers)}" for word, answers in ways.items()]
        elif form.get("type") == "object":
            words.append("or by layer {pattern: value}")
        else:
            words.append(_one(form))
    return "; ".join(words)


def _one(form: dict[str, Any]) -> str:
    if "enum" in form:
        return _either(form["enum"])
    kind = form.get("type")
    of = form.get("items", {}) if kind == "array" else form
    words = [f"list of {of.get('type', 'value')}s" if kind == "array" else kind or "any value"]
    bounds = [f"{word} {of[key]:g}" for key, word in _BOUNDS.items() if key in of]
    words += [" and ".join(bounds)] if bounds else []
    words += [f"such as {one}" for one in form.get("examples", [])[:1]]
    return " ".join(words)


def _either(answers: list[JsonValue]) -> str:
    return " | ".join(map(value, answers))
