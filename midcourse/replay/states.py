"""What checkpoints on the disk say of a way: where it branched off, and the hash at its end.

Read without torch, which the checkpoint store needs: the tracker does this, too.
"""

import hashlib
import json

from midcourse.checkpoints.writer import MANIFEST_FILE, STATE_FILE, TENSORS_FILE, state_hash
from midcourse.contract.base import strict_json_loads
from midcourse.contract.checkpoints import Manifest
from midcourse.contract.paths import RunPaths
from midcourse.errors import JournalUnusable


def read_manifest(paths: RunPaths, checkpoint: str, child: str) -> Manifest:
    """The manifest of the checkpoint at which a child branched off.

    Raises:
        JournalUnusable: it is missing or damaged.
    """
    path = paths.checkpoint(checkpoint) / MANIFEST_FILE
    try:
        return Manifest.model_validate(strict_json_loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged: {error}"
        raise JournalUnusable(
            f"{path} {what}; it says which commands of run {paths.folder.name} belong to run "
            f"{child}, which began there"
        ) from error


def newest_manifest(paths: RunPaths) -> Manifest | None:
    """The manifest of a run's last checkpoint that can be read; None where there is none."""
    found: Manifest | None = None
    for path in paths.checkpoints.glob(f"[!.]*/{MANIFEST_FILE}"):
        try:
            manifest = Manifest.model_validate(strict_json_loads(path.read_bytes()))
        except (OSError, ValueError):  # it was pruned just now, or is damaged: others stand
            continue
        if found is None or _age(manifest) > _age(found):
            found = manifest
    return found


def _age(manifest: Manifest) -> tuple[int, int]:
    return manifest.checkpoint.step, manifest.edits


def hash_without_source(paths: RunPaths, manifest: Manifest) -> tuple[str | None, bool]:
    """The hash that a checkpoint's state has without what the run's policies remember.

    Returns:
        The hash, None where the state cannot be read; and whether there was anything to leave out.
    """
    try:
        data = (paths.checkpoint(manifest.checkpoint.name) / STATE_FILE).read_bytes()
        state = json.loads(data)
        if not isinstance(state, dict) or not state.get("source"):
            return manifest.checkpoint.state_hash, False
        tensors = manifest.files[TENSORS_FILE].sha256
    except (OSError, ValueError, KeyError):
        return None, False
    return state_hash(tensors, _sha256_of(state | {"source": {}})), True


def _sha256_of(state: object) -> str:
    # As the capture writes it: equal states are equal bytes.
    text = json.dumps(state, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
