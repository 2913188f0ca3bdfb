"""What is typed on the command line as values."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from midcourse.cli.values import (
    config_from,
    parse_changes,
    parse_grid,
    parse_value,
    read_config,
    set_path,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("0.01", 0.01),
        (".5", 0.5),
        ("5.", 5.0),
        ("+2", 2.0),
        ("-1", -1),
        ("64", 64),
        ("true", True),
        ("null", None),
        ("True", "True"),
        ("adamw", "adamw"),
        ('"64"', "64"),
        ("[0.9, 0.99]", [0.9, 0.99]),
        ('{"value": 0.5, "mode": "scale"}', {"value": 0.5, "mode": "scale"}),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("100 steps", "100 steps"),
        ("", ""),
    ],
)
def test_values_are_json_else_strings(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


def test_changes() -> None:
    given = ["optimizer.lr=1e-4", "optimizer.name=adamw", "note=a=b"]
    assert parse_changes(given) == {
        "optimizer.lr": 0.0001,
        "optimizer.name": "adamw",
        "note": "a=b",
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["optimizer.lr"], "'optimizer.lr' must be name=value, such as optimizer.lr=0.01"),
        (["=3"], "'=3' must be name=value"),
        (["a=1", "a=2"], "a is given twice"),
    ],
)
def test_changes_that_are_none(texts: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=re.escape(message)):
        parse_changes(texts)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.1,0.01", [0.1, 0.01]),
        ("lr=0.1", [0.1]),
        ("name=sgd, adamw", ["sgd", "adamw"]),
        ("betas=[[0.9,0.99],[0.8,0.9]]", [[0.9, 0.99], [0.8, 0.9]]),
        ("betas=[0.9,0.99],[0.8,0.9]", [[0.9, 0.99], [0.8, 0.9]]),
        ('what="a,b",c', ["a,b", "c"]),
        ('what={"a": 1, "b": 2},null', [{"a": 1, "b": 2}, None]),
    ],
)
def test_a_grid_splits_at_its_own_commas(text: str, values: list[Any]) -> None:
    assert [*parse_grid([text]).values()] == [values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr="], "lr has no values"),
        (["lr=[]"], "lr has no values"),
        (["lr=1", "lr=2"], "lr is given twice; put its values in one list"),
    ],
)
def test_a_grid_that_is_none(texts: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        parse_grid(texts)


def test_paths_go_through_objects_and_make_them() -> None:
    config: dict[str, Any] = {"model": {"name": "cnn"}, "seed": 0}
    set_path(config, "model.hidden", 64)
    set_path(config, "train.epochs", 3)
    assert config == {"model": {"name": "cnn", "hidden": 64}, "seed": 0, "train": {"epochs": 3}}
    with pytest.raises(click.UsageError, match=re.escape("seed.x: seed is 0 there, and no object")):
        set_path(config, "seed.x", 1)
    assert config_from({"a.b": 1, "a.c": 2}) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("name", "text"), [("p.json", '{"seed": 1}'), ("p.yaml", "seed: 1\n"), ("p.yml", "{seed: 1}")]
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_config(str(tmp_path / name)) == {"seed": 1}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", '{"seed": NaN}', "is not JSON: NaN is not a JSON number"),
        ("p.json", "[1]", "must hold an object"),
        ("p.yaml", "a: [", "is not YAML"),
        ("none.json", None, "cannot be read: No such file or directory"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(click.UsageError, match=message):
        read_config(str(tmp_path / name))
