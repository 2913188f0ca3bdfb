"""Answers GraphQL queries by walking their selection sets over plain Python objects.

A field `historyLineCount` is the attribute or key of that name, or the attribute
`history_line_count`; a method is called with the field's arguments. What is not there answers null
and is counted, since the real server's schema is not known here.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    value_from_ast_untyped,
)

Args = Mapping[str, Any]
"""The arguments of a field, with the variables put in."""

MISSING = object()


class Refused(Exception):
    """What was asked is refused: 200 with `errors`, as GraphQL servers do; the text is theirs."""


class Executor:
    """Executes documents; it keeps only the count of the fields that nothing answers."""

    def __init__(self) -> None:
        self.unknown_fields: Counter[str] = Counter()
        """By `Type.field`."""
        self._lock = threading.Lock()

    def execute(self, document: DocumentNode, variables: Args, root: object) -> dict[str, Any]:
        """The data that a document's one operation asks of `root`.

        Raises:
            Refused: a field's method refused.
        """
        return _Walk(self, document, variables).select(operation_of(document).selection_set, root)

    def count_unknown(self, name: str) -> None:
        with self._lock:
            self.unknown_fields[name] += 1


class _Walk:
    def __init__(self, executor: Executor, document: DocumentNode, variables: Args) -> None:
        self._executor = executor
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        defaults = {
            each.variable.name.value: value_from_ast_untyped(each.default_value)
            for each in operation_of(document).variable_definitions or ()
            if each.default_value is not None
        }
        self._variables = {**defaults, **variables}

    def select(self, selections: SelectionSetNode, node: object) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for field in self._fields(selections, node):
            key = field.alias.value if field.alias else field.name.value
            value = self._answer(field, node)
            if isinstance(value, dict) and isinstance(answer.get(key), dict):
                value = {**answer[key], **value}  # a field that two fragments ask for
            answer[key] = value
        return answer

    def _fields(self, selections: SelectionSetNode, node: object) -> Iterator[FieldNode]:
        for each in selections.selections:
            if not self._is_included(each):
                continue
            if isinstance(each, FieldNode):
                yield each
            elif isinstance(each, FragmentSpreadNode):
                fragment = self._fragments[each.name.value]
                if _is_kind(node, fragment.type_condition.name.value):
                    yield from self._fields(fragment.selection_set, node)
            elif isinstance(each, InlineFragmentNode):
                condition = each.type_condition
                if condition is None or _is_kind(node, condition.name.value):
                    yield from self._fields(each.selection_set, node)

    def _is_included(self, node: Any) -> bool:
        for directive in node.directives or ():
            condition = self._arguments(directive).get("if")
            if bool(condition) != (directive.name.value == "include"):
                return False
        return True

    def _answer(self, field: FieldNode, node: object) -> Any:
        name = field.name.value
        value = _look_up(node, name)
        if value is MISSING:
            self._executor.count_unknown(f"{_typename(node)}.{name}")
            return None
        if callable(value):
            value = value(self._arguments(field))
        return self._shape(field, value)

    def _shape(self, field: FieldNode, value: Any) -> Any:
        if field.selection_set is None or value is None:
            return value
        if isinstance(value, (list, tuple)):
            return [self._shape(field, each) for each in value]
        return self.select(field.selection_set, value)

    def _arguments(self, node: Any) -> dict[str, Any]:
        return {
            each.name.value: value_from_ast_untyped(each.value, self._variables)
            for each in node.arguments or ()
        }


def _look_up(node: object, name: str) -> Any:
    if name == "__typename":
        return _typename(node)
    if isinstance(node, Mapping):
        return node.get(name, MISSING)
    return getattr(node, snake_case(name), MISSING)


def _typename(node: object) -> str:
    if isinstance(node, Mapping):
        return str(node.get("__typename", "Object"))
    return str(getattr(node, "typename", type(node).__name__))


def _is_kind(node: object, condition: str) -> bool:
    """Whether a fragment on this type applies; what has no type of its own takes every fragment."""
    name = _typename(node)
    interfaces = getattr(node, "interfaces", ())
    untyped = isinstance(node, Mapping) and "__typename" not in node
    return untyped or condition == name or condition in interfaces


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """`historyLineCount` as Python writes it; `artifactID` becomes `artifact_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@lru_cache(maxsize=256)
def parse_document(text: str) -> DocumentNode:
    """The parsed query.

    Raises:
        Refused: it is not GraphQL.
    """
    try:
        return parse(text, no_location=True)
    except GraphQLError as error:
        raise Refused(str(error)) from None


def operation_of(document: DocumentNode) -> OperationDefinitionNode:
    """The one operation of a document."""
    [operation] = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return operation


def name_of(document: DocumentNode) -> str:
    """The operation's name; "" for one without."""
    name = operation_of(document).name
    return name.value if name else ""
