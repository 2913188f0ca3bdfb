"""What the system can be told about parents and children among processes. Linux tells more."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL, _SET_NAME, _SET_CHILD_SUBREAPER = 1, 15, 36


def end_with_parent(parent: int) -> None:
    """Get SIGTERM when the parent dies. Where the system cannot do that, look at `os.getppid()`.

    Args:
        parent: as it was before the fork: it may have died since.
    """
    _tell_linux(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent dies, as process 1 is anyway."""
    _tell_linux(_SET_CHILD_SUBREAPER, 1)


def offspring() -> set[int]:
    """The living children of this process, adopted ones too; none where there is no /proc."""
    own, found = os.getpid(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (folder / "stat").read_text(errors="replace")  # a name may be cut anywhere
            state, parent = told.rpartition(")")[2].split()[:2]
            if int(parent) == own and state not in "ZX":
                found.add(int(folder.name))
    return found


def be_called(name: str) -> None:
    """Show up under a name in `ps -o comm` and `top`; 15 letters count."""
    _tell_linux(_SET_NAME, ctypes.create_string_buffer(name.encode()))


def _tell_linux(what: int, value: object) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)
