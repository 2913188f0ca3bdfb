"""Every address and setting of the control API is in its page."""

import re
from pathlib import Path

import pytest
from control_bench import Bench

from control_api import settings
from control_api.resources.commands import VERBS

PAGE = (Path(__file__).parents[2] / "docs" / "control-api.md").read_text()


def test_every_address(tmp_path):
    bench = Bench(tmp_path)
    for rule in bench.app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule).removeprefix("/api/v1")
        if "/link/" in path:
            path = path.removeprefix("/runs/{run_id}")
        methods = rule.methods - {"HEAD", "OPTIONS"}
        for method in methods:
            line = path if path.startswith("/link/") else f"{method} {path}"
            assert re.search(re.escape(line) + r"[?`]", PAGE), line
    bench.close()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb(verb):
    assert f"`{verb}`" in PAGE


@pytest.mark.parametrize("name", sorted(settings._OWN_VARIABLES))
def test_every_setting(name):
    handed_to_trainers = name.startswith("MIDCOURSE_RUN_") or name in (
        "MIDCOURSE_ATTEMPT",
        "MIDCOURSE_ORIGIN",
        "MIDCOURSE_API_URL",
    )
    assert handed_to_trainers or f"`{name}`" in PAGE
