"""A line of the log is one line, whatever a client or a trainer put into it."""

import json
import logging

import pytest

from control_api.logs import JsonLines, Words
from control_api.settings import Settings


def record(message, *arguments):
    return logging.LogRecord("midcourse", logging.INFO, "f", 1, message, arguments, None)


@pytest.mark.parametrize("form", [JsonLines, Words])
@pytest.mark.parametrize(
    "hostile", ["a\n2026 INFO forged: x", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\x00b"]
)
def test_nothing_forges_a_line_or_speaks_to_the_terminal(form, hostile):
    line = form().format(record("run %s: %s", "r1", hostile))
    assert len(line.splitlines()) == 1 or form is JsonLines
    assert "\n" not in line
    assert not {"\r", "\x1b", "\x00"} & set(line)
    if form is JsonLines:
        assert json.loads(line)["message"] == f"run r1: {hostile}"


def test_words_of_all_languages_stay_as_they_are():
    assert Words().format(record("é 漢字 😀 %s", "→")).endswith("é 漢字 😀 →")


def test_settings_show_no_secret():
    settings = Settings.read(
        {"MIDCOURSE_DATABASE_URL": "postgresql://u:planted@h/d", "WANDB_API_KEY": "planted"}
    )
    assert "planted" not in repr(settings)
