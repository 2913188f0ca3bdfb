"""Checkpoints on disk: written whole or not at all, verified, kept and let go."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from midcourse.checkpoints import store as store_module
from midcourse.checkpoints.capture import Capture
from midcourse.checkpoints.store import CheckpointStore
from midcourse.checkpoints.writer import write_checkpoint
from midcourse.contract.base import utc_now
from midcourse.contract.checkpoints import CheckpointReason, CheckpointRecord, Manifest
from midcourse.contract.names import checkpoint_step
from midcourse.contract.paths import RunPaths
from midcourse.errors import CheckpointUnusable

TREE = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16), "lr": 0.1}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    found = RunPaths(tmp_path, "r1")
    found.folder.mkdir(parents=True)
    found.run_log.touch()
    return found


def manifest(name: str) -> Manifest:
    return Manifest(
        checkpoint=CheckpointRecord(
            run="r1",
            name=name,
            step=checkpoint_step(name),
            reason=CheckpointReason.SCHEDULE,
            state_hash="0" * 64,
            bytes=0,
            created_at=utc_now(),
        ),
        attempt=0,
        journal_position=0,
        edits=0,
        cursor={},
        parameters={},
        versions={},
        files={},
    )


def write(paths: RunPaths, name: str, tree: Any = TREE) -> Manifest:
    capture = Capture(tree)
    view = memoryview(capture.shared.memory)
    try:
        return write_checkpoint(
            paths.checkpoint(name),
            view[: capture.tensors_size + capture.state_size],
            capture.tensors_size,
            manifest(name),
            paths.run_log,
        )
    finally:
        del view
        capture.shared.close()


def test_what_was_written_is_loaded(paths: RunPaths) -> None:
    written = write(paths, "step-5")
    found, tree = CheckpointStore(paths).load("step-5")
    assert found == written
    assert torch.equal(tree["w"], TREE["w"])
    assert tree["b"].dtype == torch.bfloat16
    assert tree["lr"] == 0.1


def test_equal_states_have_equal_hashes_and_others_have_not(paths: RunPaths) -> None:
    one = write(paths, "step-1").checkpoint.state_hash
    assert write(paths, "step-2").checkpoint.state_hash == one
    assert write(paths, "step-3", TREE | {"lr": 0.2}).checkpoint.state_hash != one


def test_a_stale_temporary_is_overwritten(paths: RunPaths) -> None:
    stale = paths.checkpoints / ".writing-step-5"
    stale.mkdir(parents=True)
    (stale / "state.safetensors").write_bytes(b"half")
    (stale / "more").write_bytes(b"")
    assert CheckpointStore(paths).names() == []
    write(paths, "step-5")
    assert sorted(path.name for path in paths.checkpoint("step-5").iterdir()) == [
        "manifest.json",
        "state.json",
        "state.safetensors",
    ]
    assert not stale.exists()


def test_names_come_oldest_first(paths: RunPaths) -> None:
    for name in ("step-10", "step-9.1", "initial", "step-9", "step-9.10", "step-9.2"):
        write(paths, name)
    names = ["initial", "step-9", "step-9.1", "step-9.2", "step-9.10", "step-10"]
    assert CheckpointStore(paths).names() == names


def _cut(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _flip(folder: Path) -> None:
    path = folder / "state.json"
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))


def _lose(folder: Path) -> None:
    (folder / "state.safetensors").unlink()


def _tear_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:50])


def _edit_manifest(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "state.safetensors is torn: [0-9]+ bytes where its manifest says"),
        (_flip, "state.json was altered: its sha256 is not its manifest's"),
        (_lose, "state.safetensors cannot be read: No such file"),
        (_tear_manifest, "the manifest .*manifest.json is damaged"),
        (_edit_manifest(lambda m: m["files"].pop("state.json")), "manifest.json names state.safe"),
        (_edit_manifest(lambda m: m.update(files={})), "manifest.json names no files"),
        (_edit_manifest(lambda m: m.update(edits="1")), "edits"),
        (
            _edit_manifest(lambda m: m["checkpoint"].update(state_hash="1" * 64)),
            "the state hash in .*manifest.json is not its files'",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(
    paths: RunPaths, damage: Callable[[Path], None], message: str
) -> None:
    write(paths, "step-5")
    damage(paths.checkpoint("step-5"))
    with pytest.raises(CheckpointUnusable, match=message):
        CheckpointStore(paths).load("step-5")


def test_a_missing_checkpoint_is_told_with_those_there_are(paths: RunPaths) -> None:
    store = CheckpointStore(paths)
    with pytest.raises(CheckpointUnusable, match="r1 has no checkpoint step-7; it has: none"):
        store.load("step-7")
    write(paths, "step-5")
    with pytest.raises(CheckpointUnusable, match="has no checkpoint step-7; it has: step-5"):
        store.load("step-7")


@pytest.mark.parametrize("name", ["../r2", "step-05", "latest", "step-1.0", ""])
def test_a_name_that_is_none_leads_nowhere(paths: RunPaths, name: str) -> None:
    with pytest.raises(ValueError, match="is no checkpoint name"):
        CheckpointStore(paths).load(name)


# -- retention ------------------------------------------------------------------------------


def fill(paths: RunPaths, count: int = 6) -> CheckpointStore:
    for step in range(count):
        write(paths, f"step-{step}")
    return CheckpointStore(paths)


def test_the_newest_the_best_and_the_pinned_are_kept(paths: RunPaths) -> None:
    store = fill(paths)
    store.pin("step-2", "r-fork")
    assert store.prune(2, {"step-1"}) == ["step-0", "step-3"]
    assert store.names() == ["step-1", "step-2", "step-4", "step-5"]
    assert store.prune(1) == ["step-1", "step-4"]
    (paths.pins("step-2") / "r-fork").unlink()
    assert store.prune(1) == ["step-2"]
    assert store.names() == ["step-5"]


@pytest.mark.parametrize("keep", [1, 0, -3])
def test_the_last_one_is_never_deleted(paths: RunPaths, keep: int) -> None:
    store = fill(paths, 3)
    store.prune(keep)
    assert store.names() == ["step-2"]


def test_what_does_not_exist_cannot_be_pinned(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PIN_SECONDS", 0.0)
    with pytest.raises(CheckpointUnusable, match="has no checkpoint step-9; it has: step-0"):
        fill(paths, 1).pin("step-9", "r2")
    assert not paths.checkpoint("step-9").exists()


def test_a_pin_set_while_it_is_being_deleted_keeps_it(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pin comes after retention has looked, and before it renames."""
    store = fill(paths, 2)
    has_pins = store_module._has_pins

    def look_then_pin(folder: Path) -> bool:
        monkeypatch.setattr(store_module, "_has_pins", has_pins)
        found = has_pins(folder)
        store.pin("step-0", "r2")
        return found

    monkeypatch.setattr(store_module, "_has_pins", look_then_pin)
    assert store.prune(1) == []
    assert store.names() == ["step-0", "step-1"]
    assert store.pinned("step-0")


def test_pinning_and_deleting_at_once_end_in_one_of_two_ways(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned and there, or gone and told so: never pinned and gone."""
    monkeypatch.setattr(store_module, "_PIN_SECONDS", 0.002)
    for _ in range(30):
        write(paths, "step-0")
        write(paths, "step-1")
        store, pinned = CheckpointStore(paths), []

        def pin(store: CheckpointStore = store, pinned: list[bool] = pinned) -> None:
            try:
                store.pin("step-0", "r2")
                pinned.append(True)
            except CheckpointUnusable:
                pinned.append(False)

        thread = threading.Thread(target=pin)
        thread.start()
        deleted = store.prune(1)
        thread.join()
        assert pinned == [not deleted]
        assert ("step-0" in store.names()) == pinned[0]
        shutil.rmtree(paths.checkpoints)


def test_what_a_killed_process_left_is_cleared_away(paths: RunPaths) -> None:
    store = fill(paths, 3)
    store.pin("step-1", "r2")
    for name in ("step-0", "step-1"):  # killed while it looked for pins a second time
        paths.checkpoint(name).rename(paths.checkpoints / f".deleting-{name}")
    (paths.checkpoints / ".writing-step-9").mkdir()
    store.tidy()
    assert sorted(path.name for path in paths.checkpoints.iterdir()) == ["step-1", "step-2"]
    assert store.pinned("step-1")


def test_a_damaged_one_set_aside_makes_room(paths: RunPaths) -> None:
    store = fill(paths, 2)
    store.set_aside("step-1")
    assert store.names() == ["step-0"]
    write(paths, "step-1")
    store.load("step-1")
