"""What the environment says about tracking."""

from pathlib import Path

import pytest

from midcourse.tracking.settings import TrackingMode, TrackingSettings
from midcourse.tracking.wandb_remote import lifetime

KEY = "k" * 40


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({}, TrackingMode.OFFLINE),
        ({"WANDB_API_KEY": ""}, TrackingMode.OFFLINE),
        ({"WANDB_API_KEY": KEY}, TrackingMode.ONLINE),
        ({"WANDB_TOKEN": KEY}, TrackingMode.ONLINE),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, TrackingMode.OFFLINE),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, TrackingMode.ONLINE),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "Disabled"}, TrackingMode.DISABLED),
        ({"WANDB_MODE": "disabled"}, TrackingMode.DISABLED),
    ],
)
def test_the_environment_decides_the_mode(environ: dict[str, str], mode: TrackingMode) -> None:
    settings = TrackingSettings.read(environ)
    assert settings.mode is mode
    assert settings.error is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WANDB_MODE": "on"}, "WANDB_MODE is 'on'; it may be online, offline or disabled"),
        ({"WANDB_MODE": "online"}, "there is no WANDB_API_KEY"),
        ({"WANDB_PROJECT": "a/b"}, "WANDB_PROJECT is 'a/b'"),
        ({"WANDB_PROJECT": "p" * 129}, "at most 128 characters"),
        ({"WANDB_INIT_TIMEOUT": "soon"}, "WANDB_INIT_TIMEOUT is 'soon'"),
        ({"WANDB_INIT_TIMEOUT": "nan"}, "WANDB_INIT_TIMEOUT is 'nan'"),
        ({"WANDB_INIT_TIMEOUT": "-1"}, "WANDB_INIT_TIMEOUT is '-1'"),
    ],
)
def test_faults_are_told_and_replaced(environ: dict[str, str], message: str) -> None:
    settings = TrackingSettings.read(environ)
    assert settings.error is not None
    assert message in settings.error
    assert settings.mode is TrackingMode.OFFLINE
    assert settings.project == "midcourse"
    assert settings.init_seconds == 60.0


@pytest.mark.parametrize("days", ["soon", "0", "-1", "nan", "inf", "1e10", "36500.5", "1e-9"])
def test_days_that_w_b_cannot_keep_checkpoints_are_told(days: str) -> None:
    settings = TrackingSettings.read({"MIDCOURSE_CHECKPOINT_DAYS": days})
    assert settings.checkpoint_days is None
    assert settings.error == (
        f"MIDCOURSE_CHECKPOINT_DAYS is {days!r}; it must be a number of days from 0.001 to 36500. "
        "W&B keeps checkpoints as long as the run does"
    )


@pytest.mark.parametrize("days", ["0.001", "0.5", "36500"])
def test_days_that_it_can_are_taken(days: str) -> None:
    settings = TrackingSettings.read({"MIDCOURSE_CHECKPOINT_DAYS": days})
    assert (settings.checkpoint_days, settings.error) == (float(days), None)
    kept = lifetime(settings.checkpoint_days)
    assert kept is not None
    assert int(kept.total_seconds()) > 0


def test_project_entity_and_name() -> None:
    environ = {"WANDB_PROJECT": "mine", "WANDB_ENTITY": "us", "WANDB_NAME": "seventh"}
    settings = TrackingSettings.read(environ)
    assert (settings.project, settings.entity, settings.name) == ("mine", "us", "seventh")
    assert TrackingSettings.read({}).project == "midcourse"


def test_the_key_is_in_no_text() -> None:
    settings = TrackingSettings.read({"WANDB_API_KEY": KEY})
    assert KEY not in repr(settings)
    assert KEY not in settings.to_json()
    assert settings.redact(f"login with {KEY} failed") == "login with [API key] failed"


def test_the_sdk_is_told_where_to_write_and_knows_no_other_run(tmp_path: Path) -> None:
    environ = {
        "WANDB_TOKEN": f"{KEY}\n",
        "WANDB_RUN_ID": "other",
        "WANDB_SERVICE": "3-1-tcp-localhost-1",
        "WANDB_RESUME": "must",
        "WANDB_DIR": "/elsewhere",
        "WANDB_BASE_URL": "https://wandb.example",
    }
    TrackingSettings.read(environ).apply(environ, tmp_path)
    assert environ["WANDB_API_KEY"] == KEY
    assert environ["WANDB_DIR"] == str(tmp_path)
    assert Path(environ["WANDB_DATA_DIR"]).parent == tmp_path
    assert Path(environ["WANDB_CACHE_DIR"]).parent == tmp_path
    assert environ["WANDB_ERROR_REPORTING"] == "false"
    assert environ["WANDB_BASE_URL"] == "https://wandb.example"
    assert not {"WANDB_RUN_ID", "WANDB_SERVICE", "WANDB_RESUME", "WANDB_TOKEN"} & set(environ)


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    environ = {"WANDB_API_KEY_FILE": str(file)}
    missing = TrackingSettings.read(environ)
    assert missing.mode is TrackingMode.OFFLINE
    assert (
        missing.error
        == f"WANDB_API_KEY_FILE names {file}, which cannot be read (No such file or directory)"
    )
    file.write_text("\n")
    assert (
        TrackingSettings.read(environ).error == f"WANDB_API_KEY_FILE names {file}, which is empty"
    )
    file.write_text(KEY + "\n")
    found = TrackingSettings.read(environ)
    assert (found.mode, found.api_key, found.error) == (TrackingMode.ONLINE, KEY, None)
    assert KEY not in repr(found)
    other = "o" * 40
    assert TrackingSettings.read(environ | {"WANDB_API_KEY": other}).api_key == other
