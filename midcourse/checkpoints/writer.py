"""The checkpoint writer: a process of its own, so that hashing and writing cost the loop nothing.

`python -m midcourse.checkpoints.writer <socket descriptor>`; started by `WriterProcess`. It takes
one order a message, with the captured memory's descriptor beside it, and answers each. It imports
no torch and starts in a few hundredths of a second. It ends when its socket does; an order that
was begun is finished first, under the run's lock, which it shares with the trainer.
"""

import hashlib
import json
import mmap
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from midcourse.background import make_way
from midcourse.contract.checkpoints import Manifest, ManifestFile
from midcourse.fence import Fence

MESSAGE_BYTES = 150_000
"""The longest order or answer: Linux lets a socket message have about 200 kB by default."""
_CHUNK = 8 << 20
TENSORS_FILE = "state.safetensors"
STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
WRITING = ".writing-"
"""Begins the name of a folder that is not a checkpoint yet."""


def state_hash(tensors_sha256: str, state_sha256: str) -> str:
    """The hash of a state, from those of its two files."""
    return hashlib.sha256(f"{tensors_sha256} {state_sha256}".encode()).hexdigest()


def write_checkpoint(
    folder: Path,
    memory: memoryview,
    tensors_size: int,
    manifest: Manifest,
    run_log: Path,
    fence: Fence | None = None,
) -> Manifest:
    """Write a captured state into `folder`, all or nothing.

    Args:
        folder: the checkpoint's final place. Must not exist, unless this same checkpoint is there:
            a writer that died before it could answer may have got as far.
        memory: bytes of the safetensors file, then of state.json.
        tensors_size: where in `memory` the first ends and the second begins.
        manifest: complete but for hashes and sizes.
        run_log: brought to the disk first, so that no checkpoint is ahead of its log.
        fence: looked at before anything is written, and before it gets its name.

    Returns:
        The manifest as it was written.

    Raises:
        OSError: the disk would not take it; nothing is left behind.
        PlaceLost: a later attempt has the run; nothing is left behind.
    """
    # A later attempt clears away what bears another's name, also from under its writer.
    whose = f"{fence.name}-" if fence is not None else ""
    temporary = folder.with_name(f"{WRITING}{whose}{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        if fence is not None:
            fence.check()
        temporary.mkdir(parents=True)
        files = {
            TENSORS_FILE: _write(temporary / TENSORS_FILE, memory[:tensors_size]),
            STATE_FILE: _write(temporary / STATE_FILE, memory[tensors_size:]),
        }
        record = manifest.checkpoint.model_copy(
            update={
                "state_hash": state_hash(files[TENSORS_FILE].sha256, files[STATE_FILE].sha256),
                "bytes": len(memory),
            }
        )
        manifest = manifest.model_copy(update={"checkpoint": record, "files": files})
        _write(temporary / MANIFEST_FILE, memoryview(_serialised(manifest)))
        sync(temporary)
        sync(run_log)
        if fence is not None:
            fence.check()
        if _holds(folder, manifest):
            shutil.rmtree(temporary)
        else:
            temporary.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return manifest


def _serialised(manifest: Manifest) -> bytes:
    return manifest.to_json().encode() + b"\n"


def _holds(folder: Path, manifest: Manifest) -> bool:
    try:
        return (folder / MANIFEST_FILE).read_bytes() == _serialised(manifest)
    except FileNotFoundError:
        return False


def _write(path: Path, data: memoryview) -> ManifestFile:
    digest = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            digest.update(chunk)
            while chunk:
                chunk = chunk[file.write(chunk) :]
        os.fsync(file.fileno())
    return ManifestFile(bytes=len(data), sha256=digest.hexdigest())


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _carry_out(order: dict[str, Any], descriptor: int) -> dict[str, Any]:
    size = max(1, order["tensors_size"] + order["state_size"])
    try:
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as memory:
            return {"number": order["number"], **_answer(order, memory)}
    except Exception as error:  # the trainer must be told, whatever it was
        return {"number": order["number"], "error": f"{type(error).__name__}: {error}"}
    finally:
        os.close(descriptor)


def _answer(order: dict[str, Any], memory: mmap.mmap) -> dict[str, str]:
    # Errors end in here: on their way out they would hold on to the memory.
    tensors_size, state_size = order["tensors_size"], order["state_size"]
    try:
        written = write_checkpoint(
            Path(order["folder"]),
            memoryview(memory)[: tensors_size + state_size],
            tensors_size,
            Manifest.model_validate(json.loads(order["manifest"])),
            Path(order["run_log"]),
            Fence(Path(order["fence"][0]), order["fence"][1]) if order["fence"] else None,
        )
    except OSError as error:
        return {"error": f"{error.strerror or error}: {order['folder']}"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"manifest": written.to_json()}


def main(descriptor: int) -> None:
    """Carry out orders until the trainer's end of the socket is closed."""
    make_way()
    for name in (signal.SIGINT, signal.SIGTERM):  # a signal to the group is the trainer's affair
        signal.signal(name, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as channel:
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 1)
            except ConnectionError:  # the trainer was killed
                return
            if not message:
                return
            answer = _carry_out(json.loads(message), descriptors[0])
            try:
                channel.send(json.dumps(answer).encode())
            except OSError:  # the trainer is gone; what was written stays
                return


if __name__ == "__main__":
    main(int(sys.argv[1]))
