"""Checkpoints that a tracker keeps lie where retention cannot reach them."""

import shutil
from pathlib import Path

import pytest
from tracked_runs import RUN, checkpoint, put_checkpoint

from midcourse.contract.paths import RunPaths
from midcourse.tracking.keepsakes import CheckpointGone, stage


def test_a_staged_checkpoint_outlives_its_original(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, RUN)
    original = put_checkpoint(paths, checkpoint(3))
    (original / "pins").mkdir()
    (original / "pins" / "command").touch()
    staged = stage(paths, "step-3")
    shutil.rmtree(original)
    assert sorted(file.name for file in staged.iterdir()) == ["manifest.json", "state.safetensors"]
    assert (staged / "state.safetensors").read_bytes() == b"3...."


def test_staging_again_leaves_what_may_be_on_its_way_to_a_server(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, RUN)
    put_checkpoint(paths, checkpoint(3))
    folders = [stage(paths, "step-3") for _ in range(3)]
    assert [folder.name for folder in folders] == ["step-3", "step-3-2", "step-3-3"]
    for folder in folders:
        assert (folder / "state.safetensors").read_bytes() == b"3...."


def test_files_are_copied_where_no_link_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr("os.link", refuse)
    paths = RunPaths(tmp_path, RUN)
    put_checkpoint(paths, checkpoint(3))
    assert (stage(paths, "step-3") / "state.safetensors").read_bytes() == b"3...."


@pytest.mark.parametrize("harm", ["gone", "torn", "no manifest", "bad manifest"])
def test_what_is_not_whole_is_not_kept(tmp_path: Path, harm: str) -> None:
    paths = RunPaths(tmp_path, RUN)
    folder = put_checkpoint(paths, checkpoint(3))
    match harm:
        case "gone":
            shutil.rmtree(folder)
        case "torn":
            (folder / "state.safetensors").write_bytes(b"3")
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "bad manifest":
            (folder / "manifest.json").write_text("{")
    with pytest.raises(CheckpointGone, match="step-3 is not kept"):
        stage(paths, "step-3")
    assert not (paths.tracking / "kept" / "step-3").exists()
