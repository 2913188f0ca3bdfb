from typing import Any

import pytest

from midcourse.contract.base import strict_json_loads


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "NaN is not a JSON number"),
        ('{"lr": -Infinity}', "-Infinity is not a JSON number"),
        ("1e999", "1e999 is too large for a 64-bit number"),
        ('{"lr": 1, "lr": 2}', "the key 'lr' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("{'lr': 1}", "Expecting property name"),
        ("", "Expecting value"),
        (b"\xff\xfe\x00", "codec can't decode"),
        ('{"lr": 1} x', "Extra data"),
    ],
)
def test_refuses_what_json_does_not_have(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strict_json_loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e308", 1e308),
        ('{"a": [true, null, -0.5]}', {"a": [True, None, -0.5]}),
        (b'"\\u00e9"', "é"),
    ],
)
def test_takes_what_it_has(text: str | bytes, value: Any) -> None:
    assert strict_json_loads(text) == value
