"""Capture: copy the state into memory that another process can write from."""

import json
import mmap
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch

from midcourse.checkpoints.state import pack
from midcourse.errors import StateUnsupported

# The names of https://github.com/huggingface/safetensors, whose file layout is used here.
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.bool: "BOOL",
}


class SharedMemory:
    """Anonymous memory behind a file descriptor, which a socket can carry to another process.

    Not `multiprocessing.shared_memory`: its names outlive a killed process, and containers give
    it 64 MB.
    """

    def __init__(self, size: int) -> None:
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("midcourse-checkpoint", os.MFD_CLOEXEC)
        else:  # macOS
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        os.ftruncate(self.descriptor, size)
        self.size = size
        self.memory = mmap.mmap(self.descriptor, size)

    def close(self) -> None:
        """Give the memory back; tensors over it must be gone."""
        self.memory.close()
        os.close(self.descriptor)


class Capture:
    """A state, copied to host memory: the bytes of a safetensors file, then those of state.json."""

    def __init__(self, tree: Any, memory_of: Callable[[int], SharedMemory] = SharedMemory) -> None:
        """Copy `tree` as it is now.

        Args:
            tree: nested state (see `checkpoints.state`).
            memory_of: finds memory of at least so many bytes, once it is known how many.

        Raises:
            StateUnsupported: naming what cannot be kept; nothing was written.
        """
        plain, tensors = pack(tree)
        header, offsets = _layout(tensors)
        state = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
        data_start = len(header)
        self.tensors_size = data_start + sum(tensor.nbytes for tensor in tensors.values())
        self.state_size = len(state)
        self.shared = memory_of(max(1, self.tensors_size + self.state_size))
        memory = self.shared.memory
        memory[:data_start] = header
        for name, tensor in tensors.items():
            if tensor.numel():
                target = torch.frombuffer(
                    memory,
                    dtype=tensor.dtype,
                    count=tensor.numel(),
                    offset=data_start + offsets[name],
                )
                target.view(tensor.shape).copy_(tensor)
        memory[self.tensors_size : self.tensors_size + self.state_size] = state


def _layout(tensors: dict[str, torch.Tensor]) -> tuple[bytes, dict[str, int]]:
    """The header of a safetensors file, and where each tensor's bytes begin after it.

    Widest types first, so that each tensor is aligned to its type; then by name, so that equal
    states are equal bytes.
    """
    entries: dict[str, Any] = {}
    offsets: dict[str, int] = {}
    position = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        if tensor.dtype not in _DTYPES:
            raise StateUnsupported(f"the tensor at {name} has the type {tensor.dtype}")
        offsets[name] = position
        end = position + tensor.nbytes
        entries[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, offsets
