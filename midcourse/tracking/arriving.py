"""A checkpoint from elsewhere on its way into a home: looked at without trust, then put in place.

Its names, sizes and contents are whatever somebody has uploaded. So only files of known names are
taken, each as large as was said, and nothing is read but as JSON. The state is not loaded here: a
trainer does that, from tensors and plain data alone.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from midcourse.checkpoints.writer import MANIFEST_FILE, STATE_FILE, TENSORS_FILE, state_hash
from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.errors import MidcourseError, faults_of
from midcourse.contract.imported import JOURNAL_FILE, RUN_FILE
from midcourse.contract.runs import RunFile
from midcourse.errors import JournalUnusable
from midcourse.journal import Journal

_Model = TypeVar("_Model", bound=Record)

_NEEDED: Final = frozenset({MANIFEST_FILE, TENSORS_FILE, STATE_FILE, RUN_FILE})
_KNOWN: Final = _NEEDED | {JOURNAL_FILE}
_MOST_BYTES: Final = {MANIFEST_FILE: 4 << 20, RUN_FILE: 4 << 20, JOURNAL_FILE: 256 << 20}
"""The most of files that are read as a whole, and whose size no manifest bounds."""
_NUL: Final = re.compile(rb"(?<!\\)(\\\\)*\\u0000")
_TRIES: Final = 20
_SPARE_BYTES: Final = 64 << 20
"""What is left free on the disk beside what comes."""


class Refused(MidcourseError):
    """It cannot be used, and trying again would not help; says what is wrong with it."""


class Troubled(MidcourseError):
    """It cannot be had now; trying again may help."""


@contextmanager
def place_to_arrive(folder: Path) -> Iterator[Path]:
    """An empty folder that nobody else has meanwhile, and that is gone afterwards.

    Whoever comes second waits. What a killed process left in it is cleared away.
    """
    descriptor = _hold(folder)
    _held.add(folder)
    try:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _held.discard(folder)
        os.close(descriptor)


def abandon_all() -> None:
    """Clear away what this process has of places to arrive: it is about to end in the middle.

    Another thread may be writing there still; what it leaves is for the next fetch to clear.
    """
    for folder in list(_held):
        for _ in range(_TRIES):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break


_held: Final[set[Path]] = set()


def _hold(folder: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # who had it took it away
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def check_names(sizes: Mapping[str, int | None]) -> None:
    """See that there are a checkpoint's files, and no others.

    Args:
        sizes: of each file, as W&B says them; None where it lies somewhere else.

    Raises:
        Refused: naming the files.
    """
    if strangers := sorted(name for name in sizes if name not in _KNOWN):
        said = ", ".join(repr(name[:80]) for name in strangers[:5])
        raise Refused(f"it holds what is no part of a checkpoint: {said}")
    if missing := sorted(_NEEDED - sizes.keys()):
        older = "; an older Midcourse logged it, without what a fork elsewhere needs"
        raise Refused(f"it lacks {', '.join(missing)}{older if missing == [RUN_FILE] else ''}")
    if elsewhere := sorted(name for name, size in sizes.items() if size is None):
        raise Refused(f"{elsewhere[0]} is not in it but only referred to, and could be anything")
    if large := [name for name, most in _MOST_BYTES.items() if (sizes.get(name) or 0) > most]:
        raise Refused(
            f"its {large[0]} has {in_words(sizes[large[0]] or 0)}, more than such a file can have"
        )


def check_sizes(manifest: Manifest, sizes: Mapping[str, int | None]) -> None:
    """See that W&B and the manifest agree on how large the state is.

    Raises:
        Refused: naming the file.
    """
    for name, file in manifest.files.items():
        if sizes[name] != file.bytes:
            raise Refused(
                f"its {name} has {sizes[name]} bytes in W&B where its manifest says {file.bytes}"
            )


def check_room(home: Path, needed: int) -> None:
    """See that so many bytes fit onto the disk.

    Raises:
        Troubled: saying what is needed and what is free.
    """
    free = shutil.disk_usage(home).free
    if needed + _SPARE_BYTES > free:
        raise Troubled(
            f"it needs {in_words(needed)} in {home}, and {in_words(free)} are free there"
        )


def read_manifest(folder: Path, run: str) -> Manifest:
    """The manifest of a checkpoint of a run.

    Raises:
        Refused: it is damaged, of another run, or names other files than a checkpoint has.
    """
    manifest = _read(folder / MANIFEST_FILE, Manifest)
    if manifest.checkpoint.run != run:
        raise Refused(f"its {MANIFEST_FILE} is of run {manifest.checkpoint.run}, not of {run}")
    if manifest.files.keys() != {TENSORS_FILE, STATE_FILE}:
        raise Refused(f"its {MANIFEST_FILE} does not name {TENSORS_FILE} and {STATE_FILE}")
    return manifest


def read_run_file(folder: Path, run: str) -> RunFile:
    """What the run is.

    Raises:
        Refused: it is damaged, or of another run.
    """
    found = _read(folder / RUN_FILE, RunFile)
    if found.id != run:
        raise Refused(f"its {RUN_FILE} is of run {found.id}, not of {run}")
    return found


def verify_state(folder: Path, manifest: Manifest) -> None:
    """Compare the state's files with the manifest: sizes, sha256, state hash.

    Raises:
        Refused: naming the checkpoint and what differs.
    """
    name, files = manifest.checkpoint.name, manifest.files
    for file, expected in files.items():
        _require_file(folder / file)
        with (folder / file).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
        if (size, digest) != (expected.bytes, expected.sha256):
            raise Refused(f"the sha256 of {file} is not what the manifest of {name} says")
    if state_hash(files[TENSORS_FILE].sha256, files[STATE_FILE].sha256) != (
        manifest.checkpoint.state_hash
    ):
        raise Refused(f"the state hash in the manifest of {name} is not that of its files")


def verify_journal(folder: Path) -> None:
    """See that the journal, where there is one, is a journal.

    Raises:
        Refused: it is damaged.
    """
    file = folder / JOURNAL_FILE
    if not file.exists():
        return
    _require_file(file)
    try:
        Journal(file)
    except (JournalUnusable, ValueError):
        raise Refused(f"its {JOURNAL_FILE} is no journal") from None


def in_words(size: int) -> str:
    """A number of bytes, for people."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _read(file: Path, model: type[_Model]) -> _Model:
    _require_file(file)
    try:
        value = strict_json_loads(file.read_bytes())
        if _NUL.search(json.dumps(value, ensure_ascii=False).encode()):  # no lone surrogates either
            raise ValueError("it has the character NUL, which no database holds")
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused(f"its {file.name} is damaged: {faults_of(error)[0]}") from None
    except ValueError as error:
        raise Refused(f"its {file.name} is damaged: {error}") from None


def _require_file(file: Path) -> None:
    try:
        is_file = stat.S_ISREG(file.lstat().st_mode)
    except FileNotFoundError:
        is_file = False
    if not is_file:
        raise Refused(f"its {file.name} is no plain file")
