"""The options of a function or class, as a pydantic model made from its signature."""

import builtins
import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, Field, JsonValue, create_model

from midcourse.contract.base import Record
from midcourse.contract.built_in import BUILT_IN

_SCALARS = (bool, int, float, str, type(None))
_SEQUENCES = (list, collections.abc.Iterable, collections.abc.Sequence)


class Options(Record):
    """The base of all options."""

    # Looking for the source of a class that has none takes 50 ms, a hundred times over.
    model_config = ConfigDict(use_attribute_docstrings=False)

    def settings(self) -> dict[str, Any]:
        """The options as JSON has them, without those that nobody set and that are null."""
        values = self.model_dump(mode="json")
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {
            name: value
            for name, value in values.items()
            if value is not None or defaults[name] is not None
        }


class _NotJson(Exception):
    """A type that a configuration file cannot give."""


def options_model(
    make: Callable[..., Any],
    kind: str,
    *,
    given: int,
    hidden: Collection[str],
    defaults: Mapping[str, Any],
) -> type[Options]:
    """The options that `make` takes.

    Args:
        make: a function or class.
        kind: what it makes; an option that is a built-in live parameter `<kind>.<option>` has that
            parameter's bounds, so that a run cannot start with a value that it may not be given.
        given: how many leading parameters are no options.
        hidden: names of other parameters that are no options.
        defaults: defaults that take the place of the signature's.

    Raises:
        TypeError: a parameter without default has a type that JSON cannot give.
    """
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(make).parameters.values())[given:]:
        name = parameter.name
        if name in hidden or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = defaults.get(name, parameter.default)
        try:
            annotation = json_type(_annotation(make, parameter))
        except _NotJson:
            if default is parameter.empty:
                raise TypeError(f"{name!r} of {make} cannot be given in a file") from None
            continue
        if default is None:
            annotation = annotation | None
        row = BUILT_IN.get(f"{kind}.{name}")
        bounds = row.bounds() if row is not None and row.type in ("number", "integer") else {}
        value: Any = ... if default is parameter.empty else default
        fields[name] = (annotation, Field(value, validate_default=True, **bounds))  # type: ignore[call-overload]
    model: type[Options] = create_model(f"{kind}:{make.__name__}", __base__=Options, **fields)
    return model


def json_type(annotation: Any) -> Any:
    """The part of a type that JSON can give: tensors and functions drop out of unions.

    Raises:
        _NotJson: nothing is left.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS or origin in (Annotated, Literal) or annotation is JsonValue:
        return annotation
    if origin in (Union, types.UnionType):
        kept = []
        for member in inner:
            try:
                kept.append(json_type(member))
            except _NotJson:
                continue
        if any(member is not type(None) for member in kept):
            return Union[tuple(kept)]  # noqa: UP007 - a union of a computed tuple
    if origin in _SEQUENCES and inner:
        return list[json_type(inner[0])]  # type: ignore[misc]
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        members = tuple(json_type(member) for member in inner)
        # Not strict at this level only: JSON has lists where torch wants tuples.
        return Annotated[tuple[members], Field(strict=False)]  # type: ignore[valid-type]
    raise _NotJson(annotation)


def _annotation(make: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The parameter's type; without annotation, its default's, or anything that is JSON."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        known = type(parameter.default)
        return known if known in _SCALARS[:-1] else JsonValue
    if not isinstance(annotation, str):
        return annotation
    # Only this one parameter: others may name types that are imported for type checkers alone.
    home = sys.modules.get(getattr(make, "__module__", ""), builtins)
    names = vars(typing) | vars(collections.abc) | vars(home)
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True
        )["it"]
    except NameError:
        raise _NotJson(annotation) from None
