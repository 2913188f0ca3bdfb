"""Capture: copy the state into memory that another process can write from."""

import json
import math
import mmap
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
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
    it 64 MB. To be used again and again: the first touch of fresh memory costs several times what
    the copy does.
    """

    def __init__(self, size: int) -> None:
        """Reserve `size` bytes.

        Raises:
            OSError: the system refuses it.
        """
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("midcourse-checkpoint", os.MFD_CLOEXEC)
        else:  # macOS
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        try:
            os.ftruncate(self.descriptor, size)
            if hasattr(os, "posix_fallocate"):
                # The pages are found all at once and off the interpreter's lock, not one by one in
                # the copy. As with any memory, Linux may kill a process rather than refuse it.
                os.posix_fallocate(self.descriptor, 0, size)
            self.size = size
            self.memory = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._layout: _Layout | None = None
        self._views: list[torch.Tensor] = []
        self._pinned: torch.Tensor | None = None

    def views(self, layout: "_Layout") -> list[torch.Tensor]:
        """Tensors over this memory, in the order of the layout's."""
        if self._layout is not layout:
            self._views = [
                torch.frombuffer(
                    self.memory, dtype=dtype, count=math.prod(shape), offset=offset
                ).view(shape)
                for dtype, shape, offset in layout.places
            ]
            self._layout = layout
        return self._views

    def pin(self) -> bool:
        """Have CUDA copy straight into this memory while the host goes on; False if it will not."""
        if self._pinned is None:
            whole = torch.frombuffer(self.memory, dtype=torch.uint8)
            cuda = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            if int(cuda.cudaHostRegister(whole.data_ptr(), self.size, _PORTABLE)) != 0:
                return False
            self._pinned = whole
        return True

    def close(self) -> None:
        """Give the memory back; nobody else may hold tensors over it."""
        if self._pinned is not None:
            cuda = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            cuda.cudaHostUnregister(self._pinned.data_ptr())
        self._pinned, self._layout, self._views = None, None, []
        self.memory.close()
        os.close(self.descriptor)


_PORTABLE = 1
"""`cudaHostRegisterPortable`: pinned for all devices."""


class Capture:
    """A state, copied to host memory: the bytes of a safetensors file, then those of state.json.

    Tensors of a CUDA device may be on their way still: the copies are queued behind the work that
    makes the state and before all that may change it, so the training thread need not wait. `wait`
    does, on whatever thread needs the bytes.
    """

    def __init__(self, tree: Any, memory_of: Callable[[int], SharedMemory] = SharedMemory) -> None:
        """Copy `tree` as it is now.

        Args:
            tree: nested state (see `checkpoints.state`).
            memory_of: finds memory of at least so many bytes, once it is known how many.

        Raises:
            StateUnsupported: naming what cannot be kept; nothing was written.
        """
        plain, tensors = pack(tree)
        layout = _lay_out(tuple((name, each.dtype, each.shape) for name, each in tensors.items()))
        state = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
        self.tensors_size = layout.size
        self.state_size = len(state)
        self.shared = memory_of(max(1, self.tensors_size + self.state_size))
        memory = self.shared.memory
        memory[: len(layout.header)] = layout.header
        sources = [tensors[name] for name in layout.names]
        devices = {each.device for each in sources if each.is_cuda}
        at_once = not devices or not self.shared.pin()
        pairs = list(zip(self.shared.views(layout), sources, strict=True))
        if not devices and self.tensors_size >= MANY_BYTES:
            _copy_with_a_helper(pairs)
        else:
            _copy(pairs, non_blocking=not at_once)
        self._events: list[torch.cuda.Event] = []
        for device in () if at_once else devices:
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(device))
            self._events.append(event)
        memory[self.tensors_size : self.tensors_size + self.state_size] = state

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have arrived."""
        return all(event.query() for event in self._events)  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        """Return when all bytes have arrived."""
        for event in self._events:
            event.synchronize()


MANY_BYTES = 16 << 20
"""From so many on, a second thread copies along: one alone does not use the memory to its full."""

_Pairs = list[tuple[torch.Tensor, torch.Tensor]]
"""Where to, and what."""


def _copy(pairs: _Pairs, *, non_blocking: bool = False) -> None:
    for target, source in pairs:
        target.copy_(source, non_blocking=non_blocking)


def _copy_with_a_helper(pairs: _Pairs) -> None:
    """Copy on two threads, each about half of the bytes; returns when both have."""
    half, taken = sum(source.nbytes for _, source in pairs) / 2, 0
    mine: _Pairs = []
    helpers: _Pairs = []
    for pair in pairs:
        (mine if taken < half else helpers).append(pair)
        taken += pair[1].nbytes
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(_copy, helpers)
        _copy(mine)
        done.result()


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where each tensor's bytes lie; tensors without bytes have no place."""

    header: bytes
    names: list[str]
    places: list[tuple[torch.dtype, tuple[int, ...], int]]
    """Type, shape and offset of each, as `names` has them."""
    size: int


@lru_cache(maxsize=4)
def _lay_out(tensors: tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]) -> _Layout:
    """The beginning of a safetensors file, and what comes behind it. Most captures are alike.

    Widest types first, so that each tensor is aligned to its type; then by name, so that equal
    states are equal bytes.
    """
    entries: dict[str, Any] = {}
    found: list[tuple[str, torch.dtype, tuple[int, ...], int]] = []
    position = 0
    for name, dtype, shape in sorted(tensors, key=lambda each: (-each[1].itemsize, each[0])):
        if dtype not in _DTYPES:
            raise StateUnsupported(f"the tensor at {name} has the type {dtype}")
        end = position + math.prod(shape) * dtype.itemsize
        entries[name] = {
            "dtype": _DTYPES[dtype],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        if end > position:
            found.append((name, dtype, shape, position))
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return _Layout(
        header,
        [name for name, *_ in found],
        [(dtype, tuple(shape), len(header) + begin) for _, dtype, shape, begin in found],
        len(header) + position,
    )
