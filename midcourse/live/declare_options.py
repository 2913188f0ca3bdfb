"""The options of registered things as live parameters `<kind>.<option>`."""

from collections.abc import Iterable
from typing import Any

from midcourse.catalogue.registry import Registry
from midcourse.contract.built_in import BUILT_IN
from midcourse.contract.live_parameter import LiveParameter

_BOUNDS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
_TYPES = {"number", "integer", "boolean", "string"}


def declare_options(
    registry: Registry[Any], names: Iterable[str] | None = None, *, note: str = ""
) -> dict[str, LiveParameter]:
    """Every option that any of a registry's things takes.

    An option that has a row in the table of built-in parameters is declared by that. Another one
    has the type and bounds that all who take it agree on; what they do not is checked by the
    options of the one that it is given to.

    Args:
        registry: of things of one kind.
        names: of those that matter; all of them by default.
        note: what the description says beside who takes the option.

    Returns:
        The declarations by the option's plain name, sorted.
    """
    forms: dict[str, dict[str, dict[str, Any]]] = {}
    for name in registry.names() if names is None else names:
        schema = registry.entry(name).options.model_json_schema()
        for option, form in schema.get("properties", {}).items():
            forms.setdefault(option, {})[name] = _plain(form)
    return {
        option: _declare(registry.kind, option, forms[option], note) for option in sorted(forms)
    }


def _declare(kind: str, option: str, takers: dict[str, dict[str, Any]], note: str) -> LiveParameter:
    name = f"{kind}.{option}"
    if name in BUILT_IN:
        return BUILT_IN[name]
    form, *others = takers.values()
    agreed = {key: it for key, it in form.items() if all(key in o and o[key] == it for o in others)}
    if "type" not in agreed:
        agreed = {"type": "any"}
    return LiveParameter.model_validate(
        {
            **agreed,
            "name": name,
            "nullable": any(taker["nullable"] for taker in takers.values()),
            "read_back": f"the {kind}'s `{option}`; null where it has no such option",
            "description": f"Option of {', '.join(sorted(takers))}. {note}".strip(),
        }
    )


def _plain(form: dict[str, Any]) -> dict[str, Any]:
    """Type, bounds and choices, of the JSON Schema of one option."""
    members = form.get("anyOf", [form])
    kept = [member for member in members if member.get("type") != "null"]
    plain: dict[str, Any] = {"type": "any", "nullable": len(kept) < len(members)}
    if len(kept) != 1:
        return plain
    schema = kept[0]
    if schema.get("type") == "array" and schema.get("items", {}).get("type") == "number":
        plain["type"] = "numbers"
        schema = schema["items"]
    elif schema.get("type") in _TYPES:
        plain["type"] = schema["type"]
        if "enum" in schema:
            plain["choices"] = schema["enum"]
    plain |= {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    return plain
