"""Configuration files: JSON and YAML give the same data, and both are strict."""

from pathlib import Path

import pytest

from midcourse.contract.errors import InvalidInput
from trainer.files import read_params


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_reads_numbers_as_people_mean_them(tmp_path: Path) -> None:
    text = """
    a: 1e-4
    b: 010
    c: 1:30
    d: no
    e: 2026-01-01
    f: [-3, .5, 1., +2, 1E3]
    g: {on: true, off: ~, x: , y: null}
    h: '5'
    """
    assert read_params(write(tmp_path, "a.yaml", text)) == {
        "a": 1e-4,
        "b": 10,
        "c": "1:30",
        "d": "no",
        "e": "2026-01-01",
        "f": [-3, 0.5, 1.0, 2, 1000.0],
        "g": {"on": True, "off": None, "x": None, "y": None},
        "h": "5",
    }


def test_json_and_yaml_give_the_same(tmp_path: Path) -> None:
    text = '{"optimizer": {"name": "sgd", "lr": 1e-3}, "train": {"grad_clip": null}}'
    assert read_params(write(tmp_path, "a.json", text)) == read_params(
        write(tmp_path, "a.yml", text)
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"lr": NaN}', "NaN is not a JSON number"),
        ("a.json", '{"lr": 1e999}', "too large"),
        ("a.json", '{"lr": 1, "lr": 2}', "stands twice"),
        ("a.json", "{lr: 1}", "a.json"),
        ("a.yaml", "lr: .nan", "not a finite"),
        ("a.yaml", "lr: -.inf", "not a finite"),
        ("a.yaml", "lr: 1e999", "not a finite"),
        ("a.yaml", "lr: 1\nlr: 2", "stands twice"),
        ("a.yaml", "1: 2", "must be a string"),
        ("a.yaml", "a: [", "a.yaml"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a.txt", "{}", "must end in .json, .yaml or .yml"),
    ],
)
def test_what_no_file_should_say_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_params(write(tmp_path, name, text))
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.json cannot be read: No such file"):
        read_params(tmp_path / "none.json")
