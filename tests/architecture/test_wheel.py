"""What a user installs: the plugin, all of it, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
        else:
            (source / name).touch()
    shutil.copytree(ROOT / "midcourse", source / "midcourse", ignore=_caches)
    (source / "trainer").mkdir()
    (source / "trainer" / "__init__.py").touch()
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    [found] = target.glob("*.whl")
    return found


_caches = shutil.ignore_patterns("__pycache__")


def test_the_wheel_holds_the_plugin_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {path.relative_to(ROOT).as_posix() for path in (ROOT / "midcourse").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == inside | {"midcourse/py.typed"}


def test_the_wheel_can_be_used_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys, midcourse, midcourse.contract.commands; assert 'torch' not in sys.modules; "
        "print(midcourse.__file__); midcourse.start"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()).parent == tmp_path / "midcourse"
