"""What `up` tells people: curl lines to paste, a line for each command, a summary."""

import os
import platform
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from control_api.settings import Settings
from midcourse.contract import environment
from midcourse.contract.names import Metric
from midcourse.contract.paths import DEFAULT_HOME, RunPaths


def curl_lines(settings: Settings, token: str, run: str) -> str:
    """Ready to paste: pause, resume, change, fork, look.

    What a container prints is kept, and may be sent on: there they fetch the token.
    """
    api = f"{settings.url}/api/v1/runs/{run}"
    if settings.in_container:
        token = f"$(docker exec {platform.node()} cat {settings.token_file})"
    head = f'-H "Authorization: Bearer {token}"'
    json = '-H "Content-Type: application/json"'
    lines = [
        ("pause", f"curl -X POST {head} {api}/pause"),
        ("resume", f"curl -X POST {head} {api}/resume"),
        (
            "change",
            f"curl -X PATCH {head} {json} -H 'Prefer: wait=5' -d '{{\"optimizer.lr\": 0.01}}' "
            f"{api}/params",
        ),
        (
            "fork",
            f'curl -X POST {head} {json} -d \'{{"changes": {{"optimizer.lr": 0.005}}}}\' '
            f"{api}/fork",
        ),
        ("look", f"curl {head} {api}"),
    ]
    return "\n".join(f"  # {name}\n  {line}" for name, line in lines)


def midcourse_lines(settings: Settings, run: str) -> str:
    """The same with `midcourse`, which finds the token in the home."""
    inside = settings.in_container
    program = f"docker exec -it {platform.node()} midcourse" if inside else _program()
    lines = [
        f"{program} watch {run}",
        f"{program} set {run} optimizer.lr=0.01",
        f"{program} fork {run} --set optimizer.lr=0.005",
        f"{program} --help",
    ]
    if settings.home != DEFAULT_HOME.absolute() and not inside:
        lines.insert(0, f"export {environment.HOME}={shlex.quote(str(settings.home))}")
    return "\n".join(f"  {line}" for line in lines)


def sync_line(settings: Settings, run: str) -> str:
    """The command that sends to W&B what is missing there of a run."""
    if settings.in_container:
        return f"docker exec -it -e WANDB_API_KEY {platform.node()} midcourse sync {run}"
    is_usual = settings.home == DEFAULT_HOME.absolute()
    home = "" if is_usual else f" --home={shlex.quote(str(settings.home))}"
    return f"{_program()} sync{home} {run}"


def _program() -> str:
    """How `midcourse` is called from here."""
    if shutil.which("midcourse"):
        return "midcourse"
    beside = Path(sys.executable).with_name("midcourse")
    if beside.exists():
        return shlex.quote(os.path.relpath(beside))
    return f"{shlex.quote(sys.executable)} -m midcourse.cli"


def command_line(command: dict[str, Any]) -> str:
    """One line on what became of a command."""
    receipt = command["receipt"] or {}
    action = command["action"]
    where = f"step {receipt['step']}: " if receipt.get("step") is not None else ""
    return f"{where}{action['kind']} {command['state']} by {command['actor']}{_outcome(receipt)}"


def _outcome(receipt: dict[str, Any]) -> str:
    if receipt.get("reason"):
        return f" ({receipt['reason']})"
    before, after = receipt.get("before", {}), receipt.get("after", {})
    if not after:
        return ""
    told = [
        f"{name} {_short(before[name])} → {_short(value)}"
        if name in before
        else f"{name} {_short(value)}"
        for name, value in after.items()
        if name != "state_hash"
    ]
    return f" ({', '.join(told)})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def summary(run: dict[str, Any], settings: Settings) -> str:
    """What a run came to, and where things are."""
    found = run["summary"]
    lines = [f"Run {run['id']} {run['status']} after {_steps(run)}."]
    if run["error"]:
        lines.append(f"  error          {run['error']}")
    accuracy = found.get("test_accuracy", run["metrics"].get(Metric.TEST_ACCURACY))
    if isinstance(accuracy, float):
        lines.append(f"  test accuracy  {accuracy:.4f}")
    if "worst_class" in found:
        lines.append(
            f"  worst class    {found['worst_class']} ({found['worst_class_accuracy']:.4f})"
        )
    lines.append(f"  W&B            {tracking_line(run, settings)}")
    lines.append(f"  checkpoints    {RunPaths(settings.home, run['id']).checkpoints}")
    return "\n".join(lines)


def _steps(run: dict[str, Any]) -> str:
    done = 0 if run["step"] is None else run["step"] + 1
    return f"{done} steps"


def tracking_line(run: dict[str, Any], settings: Settings) -> str:
    """Where W&B shows a run, or how to send it there."""
    tracking = run["tracking"]
    if tracking is None:
        return "nothing was logged"
    if tracking["url"] and tracking["state"] != "behind":
        return str(tracking["url"])
    why = f" ({tracking['error']})" if tracking["error"] else ""
    if tracking["url"]:
        return (
            f"{tracking['url']} lacks a part{why}; send it with: {sync_line(settings, run['id'])}"
        )
    if tracking["folder"]:
        return f"offline{why}; send it with: {sync_line(settings, run['id'])}"
    return str(tracking["mode"])
