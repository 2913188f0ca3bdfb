import threading

import pytest

from control_api import pins
from control_api.problems import CheckpointGone
from midcourse.contract.paths import RunPaths


@pytest.fixture
def checkpoint(tmp_path):
    folder = RunPaths(tmp_path, "ra").checkpoint("step-9")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_pin_is_a_file_named_by_who_keeps_the_checkpoint(tmp_path, checkpoint):
    for _ in range(2):
        pins.pin(tmp_path, "ra", "step-9", "rchild")
    assert [file.name for file in (checkpoint / "pins").iterdir()] == ["rchild"]
    pins.unpin(tmp_path, "ra", "step-9", "rchild")
    pins.unpin(tmp_path, "ra", "step-9", "rchild")
    assert list((checkpoint / "pins").iterdir()) == []


def test_a_checkpoint_that_is_gone_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(pins, "PAUSE_SECONDS", 0)
    with pytest.raises(CheckpointGone, match="step-9 of run ra has been deleted"):
        pins.pin(tmp_path, "ra", "step-9", "rchild")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_retention_looks_through_is_waited_for(tmp_path, checkpoint):
    aside = checkpoint.with_name(".deleting-step-9")
    checkpoint.rename(aside)
    timer = threading.Timer(0.1, lambda: aside.rename(checkpoint))
    timer.start()
    pins.pin(tmp_path, "ra", "step-9", "rchild")
    timer.join()
    assert (checkpoint / "pins" / "rchild").exists()


def test_a_pin_goes_with_what_it_was_made_for(tmp_path, checkpoint):
    with pytest.raises(KeyError), pins.pinned(tmp_path, "ra", "step-9", "rchild"):
        raise KeyError
    assert list((checkpoint / "pins").iterdir()) == []
