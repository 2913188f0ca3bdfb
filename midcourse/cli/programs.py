"""Programs of Midcourse that the command line starts and never loads: processes of their own."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from midcourse.contract import environment
from midcourse.contract.paths import DEFAULT_HOME

_ROOT = Path(__file__).resolve().parents[2]


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Put `python -m <module>` in this process's place: signals are its own, and its exit code.

    What lies in the working directory is not ours to import; a midcourse that is no installed
    package must be found all the same.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    environ = dict(os.environ)
    if _ROOT.name not in ("site-packages", "dist-packages"):
        others = environ.get("PYTHONPATH")
        environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *([others] if others else [])])
    command = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, command, environ)  # noqa: S606


def home_folder(given: str | None) -> Path:
    """The folder of all runs: as given, as the environment has it, here, or in the checkout."""
    if told := given or os.environ.get(environment.HOME):
        return Path(told).expanduser()
    in_checkout = _ROOT / DEFAULT_HOME
    here = (DEFAULT_HOME / "runs").is_dir()
    return in_checkout if not here and (in_checkout / "runs").is_dir() else DEFAULT_HOME
