"""Checkpoints from elsewhere: looked at without trust, and put in place all or nothing."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tracked_runs import RUN, checkpoint, put_checkpoint, put_run

from midcourse.contract.checkpoints import Manifest
from midcourse.contract.imported import ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.tracking import arriving
from midcourse.tracking.arriving import (
    Refused,
    Troubled,
    check_names,
    check_room,
    in_words,
    place_to_arrive,
    read_manifest,
    read_run_file,
    verify_journal,
    verify_state,
)
from midcourse.tracking.importing import find_same, note_origin, put_in_place

PLAIN = ("manifest.json", "run.json", "state.json", "state.safetensors")


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """What comes: a run file, and a manifest of one file, which no real checkpoint has."""
    elsewhere = RunPaths(tmp_path / "elsewhere", RUN)
    put_run(elsewhere)
    folder = put_checkpoint(elsewhere, checkpoint(40))
    shutil.copy(elsewhere.run_file, folder)
    return folder


def rewrite(file: Path, edit: Callable[[Any], Any]) -> None:
    value = json.loads(file.read_bytes())
    edit(value)
    file.write_text(json.dumps(value))


@pytest.mark.parametrize("missing", PLAIN)
def test_all_files_of_a_checkpoint_must_be_there(missing: str) -> None:
    sizes: dict[str, int | None] = {name: 5 for name in PLAIN if name != missing}
    with pytest.raises(Refused, match=f"it lacks {missing}"):
        check_names(sizes)
    check_names({**sizes, missing: 5})
    check_names({**sizes, missing: 5, "journal.jsonl": 5})


def test_strangers_are_named_but_not_all_of_a_thousand() -> None:
    sizes: dict[str, int | None] = {f"{number}.pkl": 1 for number in range(1000)}
    with pytest.raises(Refused) as refused:
        check_names(sizes)
    assert str(refused.value).count(".pkl") == 5


class _Usage(NamedTuple):
    free: int


def test_what_does_not_fit_says_what_is_needed_and_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving.shutil, "disk_usage", lambda _: _Usage(free=10**9))
    check_room(tmp_path, 9 * 10**8)
    with pytest.raises(Troubled, match=r"it needs 2\.5 GB in .*, and 1\.0 GB are free there"):
        check_room(tmp_path, 25 * 10**8)


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (1500, "1.5 kB"), (2 * 10**6, "2.0 MB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda it: it["checkpoint"].update(run="rother"), "is of run rother, not of r2345678x"),
        (lambda it: it["checkpoint"].update(run="../x"), "is damaged: checkpoint.run"),
        (lambda it: it["checkpoint"].update(name="../step-1"), "is damaged: checkpoint.name"),
        (lambda it: it["checkpoint"].update(step="40"), "is damaged: checkpoint.step"),
        (lambda it: it["files"].update({"../x": {}}), "is damaged: files.../x.bytes"),
        (lambda it: it.update(format=3), "is damaged: format"),
        (lambda it: it.update(more=1), "is damaged: more"),
        (lambda it: it["cursor"].update(at="\0"), "the character NUL"),
        (lambda it: it["cursor"].update(at="\ud800"), "surrogates not allowed"),
        (lambda _: None, "does not name state.safetensors and state.json"),
    ],
)
def test_a_manifest_that_is_none(staged: Path, edit: Callable[[Any], Any], said: str) -> None:
    rewrite(staged / "manifest.json", edit)
    with pytest.raises(Refused) as refused:
        read_manifest(staged, RUN)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"id": "r1", "id": "r2"}', "stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"seed": NaN}', "NaN is not a JSON number"),
    ],
)
def test_a_run_file_that_is_none(staged: Path, text: str, said: str) -> None:
    (staged / "run.json").write_text(text)
    with pytest.raises(Refused, match=said):
        read_run_file(staged, RUN)


def test_the_run_file_of_another(staged: Path) -> None:
    assert read_run_file(staged, RUN).id == RUN
    with pytest.raises(Refused, match=f"is of run {RUN}, not of rother"):
        read_run_file(staged, "rother")


def test_no_link_is_followed(staged: Path) -> None:
    (staged / "run.json").rename(staged.parent / "outside.json")
    (staged / "run.json").symlink_to(staged.parent / "outside.json")
    with pytest.raises(Refused, match=r"its run\.json is no plain file"):
        read_run_file(staged, RUN)
    manifest = Manifest.model_validate_json((staged / "manifest.json").read_bytes())
    (staged / "state.safetensors").unlink()
    (staged / "state.safetensors").symlink_to("/dev/zero")
    with pytest.raises(Refused, match=r"its state\.safetensors is no plain file"):
        verify_state(staged, manifest)


def test_a_journal_must_be_one(staged: Path) -> None:
    verify_journal(staged)
    (staged / "journal.jsonl").write_text('{"type": "intent"}\n')
    with pytest.raises(Refused, match=r"its journal\.jsonl is no journal"):
        verify_journal(staged)


def test_what_is_put_in_place_is_there_with_its_origin(staged: Path, tmp_path: Path) -> None:
    paths, manifest = RunPaths(tmp_path / "here", RUN), read_any(staged)
    assert find_same(paths, manifest) is None
    note_origin(paths, "step-40", "us/p/x-checkpoint:v1", "https://w")
    put_in_place(staged, paths, manifest.checkpoint)
    assert find_same(paths, manifest) == manifest
    assert not staged.exists()
    assert sorted(each.name for each in paths.checkpoint("step-40").iterdir()) == [
        "manifest.json",
        "state.safetensors",
    ]
    note_origin(paths, "step-90", "us/p/x-checkpoint:v2", "https://w")
    noted = ImportedRun.model_validate_json(paths.imported.read_bytes())
    assert noted.artifacts == {"step-40": "us/p/x-checkpoint:v1", "step-90": "us/p/x-checkpoint:v2"}


def test_a_journal_only_grows(staged: Path, tmp_path: Path) -> None:
    paths, manifest = RunPaths(tmp_path / "here", RUN), read_any(staged)
    note_origin(paths, "step-40", "us/p/x-checkpoint:v1", "https://w")
    paths.journal.write_text("one\ntwo\n")
    for number, (came, stands) in enumerate(
        [("one\n", "one\ntwo\n"), ("other\n1\n2\n", "one\ntwo\n"), ("one\ntwo\n3\n",) * 2]
    ):
        copy = tmp_path / str(number)
        shutil.copytree(staged, copy)
        (copy / "journal.jsonl").write_text(came)
        name = {"name": f"step-4{number}"}
        put_in_place(copy, paths, manifest.checkpoint.model_copy(update=name))
        assert paths.journal.read_text() == stands


def read_any(folder: Path) -> Manifest:
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def test_one_at_a_time_has_the_place(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / ".fetching" / "r1"
    with place_to_arrive(folder) as held:
        (held / "half").write_text("of it")
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    assert not folder.exists()
    folder.mkdir()
    (folder / "left").mkdir()
    (folder / "left" / "over").write_text("by one that was killed")
    with place_to_arrive(folder) as held:
        assert list(held.iterdir()) == []
