"""Where in W&B a checkpoint is: what people write for it."""

import re

import pytest

from midcourse.contract.wandb_source import WandbSource, pages_of, parse_source

OWN = "http://wandb.lab:8080"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("lab/digits/r7x@best", "best"),
        ("lab/digits/r7x", "latest"),
        ("lab/digits/r7x@step-500.1", "step-500.1"),
        ("lab/digits/r7x@v3", "v3"),
        ("lab/digits/r7x-checkpoint:best", "best"),
        ("lab/digits/r7x-checkpoint:step-500", "step-500"),
        ("lab/digits/r7x-checkpoint", "latest"),
        ("https://wandb.ai/lab/digits/runs/r7x", "latest"),
        ("https://wandb.ai/lab/digits/runs/r7x@best", "best"),
        ("https://wandb.ai/lab/digits/runs/r7x/workspace?nw=nwuserada", "latest"),
        ("https://wandb.ai/lab/digits/runs/r7x?nw=nwuserada@v2", "v2"),
        ("https://WANDB.ai/lab/digits/runs/r7x/", "latest"),
        ("https://api.wandb.ai/lab/digits/runs/r7x", "latest"),
        ("https://wandb.ai/lab/digits/artifacts/model/r7x-checkpoint/v3", "v3"),
        ("https://wandb.ai/lab/digits/artifacts/model/r7x-checkpoint/v3/files", "v3"),
        ("https://wandb.ai/lab/digits/artifacts/model/r7x-checkpoint", "latest"),
        ("https://wandb.ai/lab/digits/artifacts/model/r7x-checkpoint@best", "best"),
    ],
)
def test_all_that_names_one(text: str, version: str) -> None:
    found = parse_source(text)
    assert found == WandbSource(entity="lab", project="digits", run="r7x", version=version)
    assert found.artifact == f"lab/digits/r7x-checkpoint:{version}"
    assert parse_source(str(found)) == found


def test_a_link_may_be_of_a_server_of_your_own() -> None:
    found = parse_source(f"{OWN}/lab/my%20digits/runs/r7x@best", OWN)
    assert str(found) == "lab/my digits/r7x@best"
    assert found.page(OWN) == f"{OWN}/lab/my%20digits/runs/r7x"


def test_the_page_of_a_run() -> None:
    page = parse_source("lab/digits/r7x@best").page()
    assert page == "https://wandb.ai/lab/digits/runs/r7x"
    assert parse_source(page).run == "r7x"
    assert pages_of("https://api.wandb.ai/") == "https://wandb.ai"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r7x@best", "is no checkpoint in W&B; write entity/project/run@best"),
        ("digits/r7x", "is no checkpoint in W&B"),
        ("a/b/c/r7x", "is no checkpoint in W&B"),
        ("", "is no checkpoint in W&B"),
        ("lab/digits/R7X", "'R7X' is not the id of a run of Midcourse"),
        ("lab/digits/", "'' is not the id of a run"),
        ("lab/../r7x@best", "'lab/../r7x@best', '..' is not a project's name"),
        ("../digits/r7x", "'..' is not an entity's name"),
        ("lab/digits/..@best", "'..' is not the id of a run"),
        ("la b/digits/r7x", "'la b' is not an entity's name"),
        ("lab/di?gits/r7x", "'di?gits' is not a project's name"),
        ("lab/digits/r7x@be st", "'be st' is not a version"),
        ("lab/digits/r7x@a@b", "'a@b' is not a version"),
        ("lab/digits/journal-r7x:v1", "called <run id>-checkpoint"),
        ("https://wandb.example/lab/digits/runs/r7x", "a page of wandb.example, and the server"),
        ("https://wandb.ai.evil.example/lab/digits/runs/r7x", "a page of wandb.ai.evil.example"),
        ("https://wandb.ai@evil.example/lab/digits/runs/r7x", "a page of wandb.ai@evil.example"),
        ("file:///lab/digits/runs/r7x", "a page of no server"),
        ("https://wandb.ai/lab/digits", "is the page of no run and of no checkpoint"),
        ("https://wandb.ai/lab/digits/sweeps/r7x", "is the page of no run"),
        ("https://wandb.ai/lab/digits/runs/%2e%2e%2fetc", "'../etc' is not the id of a run"),
        ("https://wandb.ai/lab/digits/artifacts/journal/journal-r7x/v0", "is the page of no run"),
        ("https://wandb.ai/lab/digits/artifacts/model/best-model/v0", "called <run id>-checkpoint"),
        ("https://[wandb.ai/lab/digits/runs/r7x", "is no link"),
    ],
)
def test_what_names_none_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_source(text)


def test_both_servers_are_named() -> None:
    said = "is a page of wandb.ai, and the server that is used here is wandb.lab:8080"
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_source("https://wandb.ai/lab/digits/runs/r7x", OWN)
