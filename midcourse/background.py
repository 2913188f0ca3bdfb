"""Making way: helper processes leave the CPU to the training."""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 10
_AUTOGROUP = Path("/proc/self/autogroup")
"""Linux shares the CPU between sessions first; niceness counts only within one."""


def make_way() -> None:
    """Let every other process go first where there is not CPU enough for all."""
    with suppress(OSError):
        os.nice(NICENESS)
    with suppress(OSError):
        if os.getsid(0) == os.getpid():  # of a session that others share, it is not ours to say
            _AUTOGROUP.write_text(str(NICENESS))
