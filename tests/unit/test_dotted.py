"""Nested values under dotted names, and back."""

from typing import Any

from midcourse.contract.dotted import flat, nested


def test_objects_become_dotted_names() -> None:
    config: dict[str, Any] = {"a": {"b": {"c": 1}, "d": None, "e": {}}, "f": "x", "g": [{"h": 1}]}
    assert flat(config) == {"a.b.c": 1, "a.d": None, "a.e": {}, "f": "x", "g": [{"h": 1}]}


def test_dotted_names_become_objects() -> None:
    assert nested({"a.b.c": 1, "a.d": 2, "e": 3}) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}


def test_a_name_that_is_also_the_beginning_of_another_stays_whole() -> None:
    assert nested({"a": 1, "a.b": 2}) == {"a": 1, "a.b": 2}
