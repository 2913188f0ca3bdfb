"""Puts a document where people find it: whole, or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from midcourse.contract.errors import MidcourseError


class CannotWrite(MidcourseError):
    """A file cannot be written; the text says where, and why."""


def write(path: Path, document: str) -> None:
    """Write a document; one that was there before stays until the new one is whole.

    Raises:
        CannotWrite: it is a folder, or its folder is not there or not writable, or the disk is
            full.
    """
    if path.is_dir():
        raise CannotWrite(f"{path} cannot be written: it is a folder")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(document, "utf-8", errors="replace")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise CannotWrite(f"{path} cannot be written: {reason}") from None
