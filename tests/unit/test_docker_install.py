"""What the image installs: all that is pinned, or another build of PyTorch and the rest."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = "https://index.example/cpu"

# Makes a virtual environment whose pip and python note what they were asked for.
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" >>"%s/asked"\\n' "$3" >"$3/bin/pip"
printf '#!/bin/sh\\necho "%s"\\n' "$3" >"$3/bin/python"
chmod +x "$3/bin/pip" "$3/bin/python"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    return tmp_path


def install(folder: Path, **environment: str) -> list[str]:
    subprocess.run(
        [str(ROOT / "docker/install_requirements.sh"), "venv", str(ROOT / "requirements.txt")],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **environment},
        check=True,
    )
    assert (folder / "venv/midcourse_image.pth").read_text() == "/opt/midcourse\n"
    return (folder / "venv/asked").read_text().splitlines()


def pins(requirements: str) -> dict[str, str]:
    lines = [line for line in requirements.splitlines() if line and line[0].isalpha()]
    return dict(line.split()[0].split("==") for line in lines)


@pytest.mark.parametrize("environment", [{}, {"TORCH_INDEX_URL": ""}])
def test_all_that_is_pinned_is_installed_by_its_hash(
    folder: Path, environment: dict[str, str]
) -> None:
    [asked] = install(folder, **environment)
    assert asked.startswith("install --quiet --require-hashes --requirement ")
    assert asked.endswith("/requirements.txt")


def test_another_build_of_pytorch_has_the_same_versions_and_no_cuda(folder: Path) -> None:
    everything = pins((ROOT / "requirements.txt").read_text())
    torch, rest = install(folder, TORCH_INDEX_URL=INDEX)
    versions = f"torch=={everything['torch']} torchvision=={everything['torchvision']}"
    assert torch == f"install --quiet --no-deps --index-url {INDEX} {versions}"
    assert rest == "install --quiet --require-hashes --requirement other-requirements.txt"
    others = pins((folder / "other-requirements.txt").read_text())
    left_away = everything.keys() - others.keys()
    assert {"torch", "torchvision", "triton"} <= left_away
    words = ("nvidia-", "cuda-", "torch", "triton")
    assert all(name.startswith(words) for name in left_away), left_away
    assert not any(name.startswith(words) for name in others)
    assert others == {name: everything[name] for name in others}
