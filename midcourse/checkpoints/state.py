"""Nested state to tensors and plain JSON, and back, without loss and without code."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from midcourse.errors import StateUnsupported

Plain = Any
"""What `json` can write: None, bool, int, finite float, str, list, dict with string keys."""


def pack(tree: Any) -> tuple[Plain, dict[str, torch.Tensor]]:
    """Split nested state into plain JSON and named tensors (not copied).

    What JSON does not have is written as an object with one key that starts with `$`: tuples,
    sets, tensors, arrays, non-finite floats, dicts with other keys than strings. Dicts lose their
    order, so that equal states are equal text.

    Raises:
        StateUnsupported: naming the path and type of what cannot be kept.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _pack(tree, "", tensors), tensors


def _pack(node: Any, path: str, tensors: dict[str, torch.Tensor]) -> Plain:
    match node:
        case None | bool() | int() | str():
            return node
        case float():
            return float(node) if math.isfinite(node) else {"$float": repr(float(node))}
        case torch.Tensor():
            return {"$tensor": _keep(node, path, tensors)}
        case np.ndarray():
            return {"$array": _keep(_from_array(node, path), path, tensors)}
        case np.generic() if _is_number(node.dtype):
            return _pack(node.item(), path, tensors)
        case bytes():
            return {"$bytes": node.hex()}
        case list():
            return [_pack(item, f"{path}/{index}", tensors) for index, item in enumerate(node)]
        case tuple():
            items = [_pack(item, f"{path}/{index}", tensors) for index, item in enumerate(node)]
            return {"$tuple": items}
        case set() | frozenset():
            return {"$set": [_pack(item, path, tensors) for item in _sorted(node, path)]}
        case Mapping():
            return _pack_mapping(node, path, tensors)
    raise StateUnsupported(
        f"the state at {path or '/'} holds a {_kind(node)}; a checkpoint keeps numbers, strings, "
        "tensors, arrays, and lists, tuples, sets and dicts of these"
    )


def _pack_mapping(
    node: Mapping[Any, Any], path: str, tensors: dict[str, torch.Tensor]
) -> dict[str, Plain]:
    keys = _sorted(node, path)
    values = [_pack(node[key], f"{path}/{key}" if path else str(key), tensors) for key in keys]
    if isinstance(node, Counter):
        packed = [_pack(key, path, tensors) for key in keys]
        return {"$counter": [list(pair) for pair in zip(packed, values, strict=True)]}
    if all(isinstance(key, str) and not key.startswith("$") for key in keys):
        return dict(zip(keys, values, strict=True))
    packed = [_pack(key, path, tensors) for key in keys]
    return {"$dict": [list(pair) for pair in zip(packed, values, strict=True)]}


def _sorted(keys: Iterable[Any], path: str) -> list[Any]:
    """Keys or set items in an order of their values, whatever their types."""
    return sorted(keys, key=lambda key: _order(key, path))


def _order(key: Any, path: str) -> tuple[str, Any]:
    match key:
        case tuple():
            return type(key).__name__, [_order(item, path) for item in key]
        case None:
            return "NoneType", 0
        case bool() | int() | float() | str() | bytes() | np.generic():
            return type(key).__name__, key
    raise StateUnsupported(
        f"a dict or set in the state at {path or '/'} has a {_kind(key)} as key or item; numbers, "
        "strings and tuples of them can be kept"
    )


def _kind(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _keep(tensor: torch.Tensor, path: str, tensors: dict[str, torch.Tensor]) -> str:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise StateUnsupported(f"the tensor at {path} is sparse or quantized; make it dense first")
    name, suffix = path, 1
    while name in tensors:  # {1: …} and {"1": …} side by side have one path
        suffix += 1
        name = f"{path}#{suffix}"
    tensors[name] = tensor.detach()
    return name


def _from_array(array: np.ndarray[Any, Any], path: str) -> torch.Tensor:
    if not _is_number(array.dtype):
        raise StateUnsupported(
            f"the array at {path} has the type {array.dtype}; real numbers of at most 64 bits only"
        )
    native = array.astype(array.dtype.newbyteorder("="), order="C")  # always a copy of its own
    return torch.from_numpy(native)


def unpack(plain: Plain, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The inverse of `pack`; each tensor is a fresh copy, aligned as torch allocates it."""
    match plain:
        case list():
            return [unpack(item, tensors) for item in plain]
        case {"$tensor": name}:
            return tensors[name].clone()
        case {"$array": name}:
            return tensors[name].clone().numpy()
        case {"$float": text}:
            return float(text)
        case {"$bytes": text}:
            return bytes.fromhex(text)
        case {"$tuple": items}:
            return tuple(unpack(item, tensors) for item in items)
        case {"$set": items}:
            return {unpack(item, tensors) for item in items}
        case {"$counter": pairs}:
            return Counter({unpack(key, tensors): unpack(count, tensors) for key, count in pairs})
        case {"$dict": pairs}:
            return {unpack(key, tensors): unpack(value, tensors) for key, value in pairs}
        case dict():
            return {key: unpack(value, tensors) for key, value in plain.items()}
    return plain
