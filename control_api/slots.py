"""Slots: the places in which runs train, of which each run has one and no two runs the same.

A slot is a name such as `gpu:1` or `cpu:0`; its run has it in a column that is unique, so that the
database itself refuses a second one.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from midcourse.contract.errors import Fault, InvalidInput

SLOTS = "MIDCOURSE_SLOTS"
VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
AUTOMATIC = "auto"
NONE = "none"
MOST_SLOTS = 1000
_GPU, _CPU = "gpu", "cpu"
_NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
_ALLOWED = "auto, none, or a list such as gpu:0,gpu:2,cpu:4: GPUs by index, CPU slots by number"


@dataclass(frozen=True)
class Slot:
    """One place to train in."""

    kind: str
    """`gpu` or `cpu`."""
    index: int
    """Of a GPU as `nvidia-smi` counts; of a CPU slot only to tell it from the others."""

    @property
    def name(self) -> str:
        """What people and the database call it."""
        return f"{self.kind}:{self.index}"


def parse_slots(text: str, environ: Mapping[str, str]) -> tuple[Slot, ...]:
    """The slots that a setting names.

    Args:
        text: `auto`, `none`, or a list such as `gpu:0,cpu:2`; empty is `auto`.
        environ: where `CUDA_VISIBLE_DEVICES` may hide GPUs from `auto`.

    Raises:
        InvalidInput: it is none of these; with every fault.
    """
    word = text.strip().lower()
    if word in ("", AUTOMATIC):
        return find_slots(environ)
    if word == NONE:
        return ()
    slots: list[Slot] = []
    messages: list[str] = []
    for part in word.split(","):
        said = re.fullmatch(rf"\s*({_GPU}|{_CPU}):([0-9]{{1,4}})\s*", part)
        if said is None:
            messages.append(f"{part.strip()!r} is no slot; those are {_ALLOWED}")
            continue
        kind, number = said[1], int(said[2])
        new = [Slot(_GPU, number)] if kind == _GPU else [Slot(_CPU, n) for n in range(number)]
        if {*new} & {*slots}:
            messages.append(f"{part.strip()!r} is named twice")
        slots += new
    if len(slots) > MOST_SLOTS:
        messages.append(f"are {len(slots)} slots; at most {MOST_SLOTS} are allowed")
    if messages:
        raise InvalidInput([Fault(path=SLOTS, message=message) for message in messages])
    return tuple(slots)


def find_slots(environ: Mapping[str, str]) -> tuple[Slot, ...]:
    """A slot for each NVIDIA GPU or, where there is none, for each core."""
    gpus = list(range(_count_gpus()))
    visible = environ.get(VISIBLE)
    if visible is not None:
        # Names of GPUs by UUID are not resolved: who uses them says the slots.
        shown = [int(part) for part in visible.split(",") if part.strip().isdecimal()]
        gpus = [index for index in shown if index in gpus]
    return tuple(Slot(_GPU, index) for index in gpus) or cpu_slots(_count_cores())


def cpu_slots(count: int) -> tuple[Slot, ...]:
    """So many slots without a GPU."""
    return tuple(Slot(_CPU, index) for index in range(count))


def _count_gpus() -> int:
    """NVIDIA's GPUs of this machine, without torch: the control API never loads it."""
    if _NVIDIA_GPUS.is_dir():
        return sum(1 for _ in _NVIDIA_GPUS.iterdir())
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607 (on the path)
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return len(done.stdout.split()) if done.returncode == 0 else 0


def _count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def variables(name: str, slots: Iterable[Slot], inherited: Mapping[str, str]) -> dict[str, str]:
    """What a trainer's environment says of its slot, beside what it inherits.

    A GPU slot shows that GPU alone. A CPU slot hides all GPUs where other slots are GPUs, which
    belong to the runs that have them. Where no slot is a GPU, nothing is hidden: the setting is
    then how many runs there may be at once, and several may share a GPU.
    """
    kind, _, index = name.partition(":")
    if kind == _GPU:
        # By default CUDA counts the fastest GPU first, and nvidia-smi by place.
        return {VISIBLE: index, ORDER: inherited.get(ORDER, "PCI_BUS_ID")}
    return {VISIBLE: ""} if any(slot.kind == _GPU for slot in slots) else {}
