"""Reading a configuration file, JSON or YAML, as plain data."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput


def read_params(path: Path) -> Any:
    """The data in a `.json`, `.yaml` or `.yml` file.

    Raises:
        InvalidInput: there is no such file, or it is not what its name says; also for the same key
            twice in one object, and for numbers that are NaN or infinite.
    """
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix.lower():
            case ".json":
                return strict_json_loads(text)
            case ".yaml" | ".yml":
                return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a safe loader's child
        raise ValueError("its name must end in .json, .yaml or .yml")
    except OSError as error:
        raise InvalidInput(
            [Fault(path="", message=f"{path} cannot be read: {error.strerror}")]
        ) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise InvalidInput([Fault(path="", message=f"{path}: {error}")]) from None


class _StrictLoader(yaml.SafeLoader):
    """YAML as its core schema of 1.2 has it.

    PyYAML follows 1.1, where `1e-4` is a string, `no` is false, `010` is 8 and `1:30` is 90; and it
    takes the last of two equal keys without a word.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different strings."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a string", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice in one object", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    try:
        value = float(text)  # `.inf` and `.nan` are no numbers to Python either
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise yaml.constructor.ConstructorError(
            None, None, f"{text} is not a finite 64-bit number", node.start_mark
        )
    return value


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", "nN~\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _firsts = ["" if character == "\0" else character for character in _first]
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _firsts
    )
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _whole_number)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _number)
