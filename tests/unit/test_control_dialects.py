"""What the two databases cannot hold, and what people write as a database's address."""

import json
import math

import pytest

from control_api.dialects import make_engine, storable_json, storable_line, storable_text


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://me@/db?host=/run/x", "postgresql+psycopg"),
        ("postgres://me:pw@db.lab:5433/midcourse", "postgresql+psycopg"),
        ("postgresql+psycopg://me@/db", "postgresql+psycopg"),
        ("sqlite:////tmp/x.db", "sqlite"),
    ],
)
def test_addresses_as_people_write_them(url, driver):
    engine = make_engine(url)
    assert engine.url.drivername == driver
    assert engine.url.database == make_engine(url.replace("postgres:", "postgresql:")).url.database
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("ünï \U0001f600", "ünï \U0001f600"),
        ("a\0b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ("a\udc00\0", "a\ufffd\ufffd"),
    ],
)
def test_text(text, stored):
    assert storable_text(text) == stored
    assert json.loads(storable_json({text: [text, {"x": text}]})) == {
        stored: [stored, {"x": stored}]
    }


def test_json_has_no_word_for_what_is_no_number():
    value = {"a": math.nan, "b": [math.inf, -math.inf], "c": 1.5, "d": None, "e": True}
    assert json.loads(storable_json(value)) == {
        "a": "NaN",
        "b": ["Infinity", "-Infinity"],
        "c": 1.5,
        "d": None,
        "e": True,
    }


def test_a_backslash_before_a_u_is_left_alone():
    value = {"path": "C:\\u0000\\temp"}
    assert json.loads(storable_json(value)) == value


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        (b'{"a":1}\n', {"a": 1}),
        (b'{"a":"\\u0000"}\n', {"a": "\ufffd"}),
        (b'{"a":"x\\uD800y"}\n', {"a": "x\ufffdy"}),
        (b'{"a":"\\ud83d\\ude00"}\n', {"a": "\U0001f600"}),
        (b'{"a":"\\\\u0000"}\n', {"a": "\\u0000"}),
    ],
)
def test_lines(line, stored):
    assert json.loads(storable_line(line)) == stored


def test_a_line_that_is_not_json_is_refused():
    with pytest.raises(ValueError, match="Expecting"):
        storable_line(b'{"a":"\\u0000"\n')
