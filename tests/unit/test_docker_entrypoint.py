"""The image's entrypoint: where W&B's key comes from, and what a container then becomes."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"
TOLD = "no WANDB_API_KEY, so runs log to W&B offline"


def enter(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(ROOT / "docker_entrypoint.sh"), *command],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def wandb_variables(**environment: str) -> tuple[dict[str, str], str]:
    done = enter("env", **environment)
    assert done.returncode == 0, done.stderr
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return {name: it for name, it in found.items() if name.startswith("WANDB_")}, done.stderr


@pytest.mark.parametrize(
    "key", [KEY, f"local-{KEY}", "wandb_v1_" + "aB-_" * 20, "eyJh.eyJz.c2ln-_"]
)
@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_TOKEN"])
def test_a_key_in_the_environment_is_handed_on_under_its_present_name(name: str, key: str) -> None:
    assert wandb_variables(**{name: key}) == ({"WANDB_API_KEY": key}, "")


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_key_may_lie_in_a_file(tmp_path: Path, end: str) -> None:
    (tmp_path / "key").write_text(KEY + end)
    found = wandb_variables(WANDB_API_KEY_FILE=str(tmp_path / "key"))
    assert found == ({"WANDB_API_KEY": KEY}, "")


def test_the_present_name_wins_over_the_old_one_and_both_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("f" * 40)
    old, file = "e" * 40, str(tmp_path / "key")
    assert wandb_variables(WANDB_API_KEY=KEY, WANDB_TOKEN=old, WANDB_API_KEY_FILE=file)[0] == {
        "WANDB_API_KEY": KEY
    }
    assert wandb_variables(WANDB_TOKEN=old, WANDB_API_KEY_FILE=file)[0] == {"WANDB_API_KEY": old}


@pytest.mark.parametrize("environment", [{}, {"WANDB_API_KEY": "", "WANDB_TOKEN": ""}])
def test_no_key_means_offline_and_is_told(environment: dict[str, str]) -> None:
    found, told = wandb_variables(**environment)
    assert found == {}
    assert TOLD in told


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_who_asked_for_offline_is_not_told(mode: str) -> None:
    assert wandb_variables(WANDB_MODE=mode) == ({"WANDB_MODE": mode}, "")


def test_an_entity_is_respected_and_none_is_made_up() -> None:
    assert wandb_variables(WANDB_API_KEY=KEY, WANDB_ENTITY="lab")[0]["WANDB_ENTITY"] == "lab"
    assert "WANDB_ENTITY" not in wandb_variables(WANDB_API_KEY=KEY)[0]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (f'"{KEY}"', "stands in quotes"),
        (f"'{KEY}'", "stands in quotes"),
        (f"{KEY}\r", "a character that no key has"),
        (f" {KEY}", "a character that no key has"),
        (KEY[:39], "too short: a key has at least 40 characters, this has 39"),
        (f"local-{KEY[:10]}", "too short: a key has at least 40 characters, this has 10"),
    ],
)
def test_a_malformed_key_fails_at_once_with_the_reason_and_is_not_shown(key: str, why: str) -> None:
    done = enter("env", WANDB_API_KEY=key)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("midcourse: The W&B key in WANDB_API_KEY ")
    assert why in done.stderr
    assert KEY[:8] not in done.stderr


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.touch()
    for file, why in ((absent, "cannot be read"), (empty, "is empty")):
        done = enter("env", WANDB_API_KEY_FILE=str(file))
        assert done.returncode == 2
        assert f"WANDB_API_KEY_FILE names {file}, which {why}" in done.stderr


def test_a_command_takes_its_place_with_its_arguments_and_its_exit_code() -> None:
    done = enter("sh", "-c", 'echo "$0 $#"; exit 7', "two words", "three", WANDB_MODE="offline")
    assert (done.returncode, done.stdout, done.stderr) == (7, "two words 1\n", "")


def test_up_takes_no_arguments() -> None:
    done = enter("up", "--port", "9000", WANDB_MODE="offline")
    assert (done.returncode, "up takes no arguments" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ([], ["-P", "-m", "control_api.up"]),
        (["up"], ["-P", "-m", "control_api.up"]),
        (["api", "--port", "9000"], ["-P", "-m", "control_api", "--port", "9000"]),
        (["python", "my own.py"], ["my own.py"]),
    ],
)
def test_two_words_stand_for_programs(tmp_path: Path, given: list[str], becomes: list[str]) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nfor each; do echo "$each"; done\n')
    python.chmod(0o755)
    done = enter(*given, PATH=f"{tmp_path}:/usr/bin:/bin", WANDB_MODE="offline")
    assert done.stdout.splitlines() == becomes
