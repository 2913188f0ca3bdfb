"""What the shell may complete: runs, checkpoints, live parameters. Silent where it cannot."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from midcourse.client import Client
from midcourse.contract.errors import MidcourseError

_MOST = 50


def complete_runs(ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
    """Runs whose id begins so; `run@` is completed by its checkpoints."""
    if "@" in incomplete:
        return _checkpoints(ctx, incomplete)
    try:
        page = _client(ctx).runs(prefix=incomplete.lower() or None, limit=_MOST)
    except (MidcourseError, OSError):
        return []
    return [
        CompletionItem(run.id, help=f"{run.status} {run.experiment} {run.name or ''}".strip())
        for run in page.runs
    ]


def complete_changes(ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
    """`optimizer.lr=` and the like, as the run on the command line declares them."""
    name, equals, _ = incomplete.partition("=")
    run = str(ctx.params.get("run") or "").partition("@")[0]
    if equals or not run:
        return []
    try:
        client = _client(ctx)
        answer = client.params(client.find(run))
    except (MidcourseError, OSError):
        return []
    properties = answer.parameters_schema.get("properties", {})
    assert isinstance(properties, dict)
    return [
        CompletionItem(f"{known}=", help=f"now {answer.values.get(known)}")
        for known in properties
        if known.startswith(name)
    ]


def _checkpoints(ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
    run, _, part = incomplete.partition("@")
    try:
        client = _client(ctx)
        names = [record.name for record in client.checkpoints(client.find(run))]
    except (MidcourseError, OSError):
        return []
    words = ["now", "latest", "best", *reversed(names)]
    return [CompletionItem(f"{run}@{word}") for word in words if word.startswith(part)]


def _client(ctx: click.Context) -> Client:
    root = ctx.find_root()
    return Client(ctx.params.get("url") or root.params.get("url"), retries=0)
