import json
from pathlib import Path

import pytest

from midcourse.contract.environment import TrainerEnvironment
from midcourse.contract.errors import InvalidInput
from midcourse.contract.paths import DEFAULT_HOME

ORIGIN = {"run": "r1", "checkpoint": "step-5", "changes": {"optimizer.lr": 0.1}}


def test_nothing_need_be_set_and_an_empty_variable_is_not() -> None:
    found = TrainerEnvironment.read({"MIDCOURSE_HOME": "", "MIDCOURSE_ATTEMPT": ""})
    assert (found.home, found.run_id, found.attempt, found.api_url) == (DEFAULT_HOME, None, 0, None)


def test_reads_all_of_it() -> None:
    found = TrainerEnvironment.read(
        {
            "MIDCOURSE_HOME": "/data",
            "MIDCOURSE_RUN_ID": "r2",
            "MIDCOURSE_ATTEMPT": "3",
            "MIDCOURSE_ORIGIN": json.dumps(ORIGIN),
            "MIDCOURSE_API_URL": "http://127.0.0.1:8080/",
            "MIDCOURSE_RUN_TOKEN": "secret",
            "MIDCOURSE_HELD": "7",
        }
    )
    assert (found.home, found.run_id, found.attempt) == (Path("/data"), "r2", 3)
    assert found.held == 7
    assert found.origin is not None
    assert found.origin.checkpoint == "step-5"
    assert found.api_url == "http://127.0.0.1:8080"
    assert "secret" not in repr(found)


def test_the_url_that_the_command_line_uses_steers_no_run() -> None:
    """It may be set in the shell in which a program is started by hand."""
    found = TrainerEnvironment.read(
        {"MIDCOURSE_API_URL": "http://127.0.0.1:8080", "MIDCOURSE_API_TOKEN": "mc_x"}
    )
    assert (found.api_url, found.run_token) == (None, None)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MIDCOURSE_RUN_ID": "../etc"}, "MIDCOURSE_RUN_ID: must match"),
        ({"MIDCOURSE_ATTEMPT": "-1"}, "MIDCOURSE_ATTEMPT: must be at least 0"),
        ({"MIDCOURSE_ATTEMPT": "two"}, "MIDCOURSE_ATTEMPT: "),
        ({"MIDCOURSE_ORIGIN": "{"}, "MIDCOURSE_ORIGIN: is no JSON"),
        ({"MIDCOURSE_ORIGIN": "[]"}, "MIDCOURSE_ORIGIN: must be an object"),
        (
            {"MIDCOURSE_ORIGIN": json.dumps({**ORIGIN, "checkpoint": "newest"})},
            "MIDCOURSE_ORIGIN.checkpoint: must match",
        ),
        ({"MIDCOURSE_ORIGIN": '{"run": "r1", "run": "r2"}'}, "stands twice"),
        ({"MIDCOURSE_API_URL": "localhost:8080"}, "MIDCOURSE_API_URL: must start with http"),
        (
            {"MIDCOURSE_API_URL": "http://localhost:8080", "MIDCOURSE_RUN_ID": "r1"},
            "MIDCOURSE_API_URL: needs MIDCOURSE_RUN_ID and MIDCOURSE_RUN_TOKEN beside it",
        ),
    ],
)
def test_names_the_variable_that_is_malformed(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        TrainerEnvironment.read(environ)
