"""What `make up` installs besides packages: the checkout and its command, without a build."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from midcourse.version import __version__

ROOT = Path(__file__).parents[2]


def test_the_command_is_there_and_works_from_any_folder(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "install.sh", checkout / "scripts")
    (checkout / "midcourse").symlink_to(ROOT / "midcourse")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (checkout / "pip.py").write_text("")  # the packages are there already, on PYTHONPATH
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    subprocess.run(
        ["sh", "scripts/install.sh", "none.txt"], cwd=checkout, env=environment, check=True
    )
    (tmp_path / "midcourse").symlink_to(checkout / ".venv" / "bin" / "midcourse")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "click.py").write_text("raise SystemExit('a file of yours is no part of it')")
    for command in (tmp_path / "midcourse", checkout / ".venv" / "bin" / "midcourse"):
        done = subprocess.run(
            [command, "--version"],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == (f"midcourse {__version__}\n", "")
    where = "import midcourse; print(midcourse.__file__)"
    python = checkout / ".venv" / "bin" / "python"
    clean = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [python, "-c", where], cwd=elsewhere, env=clean, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(checkout / "midcourse" / "__init__.py")
