"""`WANDB=`: a stand-in for the W&B server is started, led to and ended, or the value is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from control_api.up import stand_in
from control_api.up.stand_in import NoStandIn, wandb_of
from midcourse.contract.errors import InvalidInput

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_BASE_URL", "WANDB_API_KEY", "MIDCOURSE_SYNC"):
        monkeypatch.setenv(name, "of before")


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_nothing_is_started_or_changed(value: str | None) -> None:
    with wandb_of(value) as url:
        assert url is None
        assert os.environ["WANDB_API_KEY"] == "of before"


def test_a_stand_in_serves_until_the_block_ends() -> None:
    with wandb_of("stand-in") as url:
        assert url is not None
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert "stand-in" in requests.get(url).text
        assert os.environ["WANDB_BASE_URL"] == url
        assert re.fullmatch(r"\w{40,}", os.environ["WANDB_API_KEY"])
        assert os.environ["WANDB_MODE"] == "online"
        assert os.environ["MIDCOURSE_SYNC"] == "off", "earlier runs are for the real server"
    with pytest.raises(requests.ConnectionError):
        requests.get(url)


def test_another_value_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidInput), wandb_of("cloud"):
        pass
    command = [sys.executable, "-m", "control_api.up"]
    told = subprocess.run(
        command, env={**os.environ, "WANDB": "cloud"}, cwd=ROOT, capture_output=True, text=True
    )
    assert (told.returncode, told.stderr) == (1, "")
    assert told.stdout == (
        "WANDB: must be stand-in, or unset to log as the environment says; it is 'cloud'\n"
    )


def test_where_there_are_no_tests_there_is_no_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "TESTS", tmp_path)
    with pytest.raises(NoStandIn, match="needs the checkout"), wandb_of("stand-in"):
        pass


def test_one_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb_server").mkdir()
    monkeypatch.setattr(stand_in, "TESTS", tmp_path)
    with pytest.raises(NoStandIn, match=r"did not start: .*wandb_server"), wandb_of("stand-in"):
        pass
