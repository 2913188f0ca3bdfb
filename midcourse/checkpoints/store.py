"""The checkpoints of one run on disk: which there are, loading with verification, retention."""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from midcourse.checkpoints.state import unpack
from midcourse.checkpoints.writer import (
    MANIFEST_FILE,
    STATE_FILE,
    TENSORS_FILE,
    WRITING,
    state_hash,
)
from midcourse.contract.base import strict_json_loads
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.errors import CheckpointUnusable

COMMAND_PIN = "command"
"""The name of the pin that the `checkpoint` command sets; others are named by a fork's run id."""

_DELETING = ".deleting-"
_PIN_TRIES = 20
_PIN_SECONDS = 0.05


class CheckpointStore:
    """Reads and prunes the `checkpoints/` folder of a run; the writer process fills it."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths

    def names(self) -> list[str]:
        """All checkpoints, oldest first; whether they are sound shows when they are loaded."""
        if not self.paths.checkpoints.is_dir():
            return []
        found = [
            folder.name
            for folder in self.paths.checkpoints.iterdir()
            if not folder.name.startswith(".") and (folder / MANIFEST_FILE).is_file()
        ]
        return sorted(found, key=_age)

    def manifest(self, name: str) -> Manifest:
        """The manifest of a checkpoint.

        Raises:
            CheckpointUnusable: it is not there, or its manifest is damaged.
        """
        path = self.paths.checkpoint(name) / MANIFEST_FILE
        try:
            return Manifest.model_validate(strict_json_loads(path.read_bytes()))
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise CheckpointUnusable(
                f"run {self.paths.folder.name} has no checkpoint {name}; it has: {known}"
            ) from None
        except (OSError, ValueError) as error:
            raise CheckpointUnusable(f"the manifest {path} is damaged: {error}") from error

    def manifests(self) -> Iterator[Manifest]:
        """The readable manifests, oldest first."""
        for name in self.names():
            try:
                yield self.manifest(name)
            except CheckpointUnusable:
                continue

    def load(self, name: str) -> tuple[Manifest, Any]:
        """Verify a checkpoint against its manifest, then read it.

        Returns:
            The manifest and the state tree, its tensors on the CPU.

        Raises:
            CheckpointUnusable: it is missing, torn or altered; says which file.
        """
        manifest = self.manifest(name)
        folder = self.paths.checkpoint(name)
        for file_name, expected in manifest.files.items():
            _verify(folder / file_name, expected.bytes, expected.sha256)
        files = manifest.files
        if files.keys() != {TENSORS_FILE, STATE_FILE}:
            raise CheckpointUnusable(
                f"{folder / MANIFEST_FILE} names {', '.join(sorted(files)) or 'no files'}, not "
                f"{TENSORS_FILE} and {STATE_FILE}"
            )
        whole = state_hash(files[TENSORS_FILE].sha256, files[STATE_FILE].sha256)
        if whole != manifest.checkpoint.state_hash:
            raise CheckpointUnusable(
                f"the state hash in {folder / MANIFEST_FILE} is not its files'"
            )
        plain = json.loads((folder / STATE_FILE).read_bytes())
        with safe_open(folder / TENSORS_FILE, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return manifest, unpack(plain, tensors)

    def pinned(self, name: str) -> bool:
        """Whether somebody keeps this checkpoint."""
        return _has_pins(self.paths.checkpoint(name))

    def pin(self, name: str, who: str) -> None:
        """Keep a checkpoint whatever the retention says.

        Raises:
            CheckpointUnusable: it is not there (any more).
        """
        pins = self.paths.pins(name)
        for attempt in range(_PIN_TRIES):
            if attempt:
                time.sleep(_PIN_SECONDS)  # it may be looked through for pins just now
            try:
                pins.mkdir(exist_ok=True)
                (pins / who).touch()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise CheckpointUnusable(f"checkpoint {name} cannot be pinned: {error}") from error
            if (pins / who).exists():
                return
        self.manifest(name)  # raises, naming what there is
        raise CheckpointUnusable(f"checkpoint {name} cannot be pinned: it comes and goes")

    def prune(self, keep: int, also: Collection[str] = ()) -> list[str]:
        """Delete what retention does not keep: the newest `keep`, `also`, and pinned ones stay.

        Returns:
            The names that were deleted.
        """
        names = self.names()
        kept = {*names[-max(1, keep) :], *also}
        return [name for name in names if name not in kept and self._delete(name)]

    def tidy(self) -> None:
        """Clear away what a killed process had half written or half deleted.

        Call it with the run's lock held: nothing is being written or deleted then.
        """
        if not self.paths.checkpoints.is_dir():
            return
        for folder in self.paths.checkpoints.iterdir():
            name = folder.name.removeprefix(_DELETING)
            if name != folder.name and _has_pins(folder):
                with contextlib.suppress(OSError):  # it has been written again since
                    folder.rename(folder.with_name(name))
                    continue
            if folder.name.startswith((_DELETING, WRITING)):
                shutil.rmtree(folder, ignore_errors=True)

    def set_aside(self, name: str) -> None:
        """Take a damaged checkpoint out of the way, so that its step can be written again."""
        folder = self.paths.checkpoint(name)
        with contextlib.suppress(OSError):
            folder.rename(folder.with_name(f".damaged-{name}-{time.time_ns()}"))

    def _delete(self, name: str) -> bool:
        """Take a checkpoint away unless it is pinned, also by someone who pins it just now."""
        folder = self.paths.checkpoint(name)
        if _has_pins(folder):
            return False
        doomed = folder.with_name(f"{_DELETING}{name}")
        shutil.rmtree(doomed, ignore_errors=True)
        try:
            folder.rename(doomed)
        except OSError:
            return False
        if _has_pins(doomed):
            doomed.rename(folder)
            return False
        shutil.rmtree(doomed, ignore_errors=True)
        return True


def _has_pins(folder: Path) -> bool:
    pins = folder / "pins"
    return pins.is_dir() and any(pins.iterdir())


def _age(name: str) -> tuple[int, int]:
    try:
        return checkpoint_step(name), int(name.partition(".")[2] or 0)
    except ValueError:
        return -2, 0


def _verify(path: Path, size: int, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            found = file.tell()
    except OSError as error:
        raise CheckpointUnusable(f"{path} cannot be read: {error.strerror}") from error
    if found != size:
        raise CheckpointUnusable(f"{path} is torn: {found} bytes where its manifest says {size}")
    if digest != sha256:
        raise CheckpointUnusable(f"{path} was altered: its sha256 is not its manifest's")
