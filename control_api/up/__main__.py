"""`python -m control_api.up`: what `make up` runs, and a container that is told nothing else.

A training of this configuration that has not ended goes on; else a fresh one is submitted. `PORT`,
`CONFIG`, `MIDCOURSE_HOME`, `WANDB` and `EXIT` come from the environment. With `EXIT=1` it ends with
the run, with status 0 only if the run succeeded; without, it serves on until Ctrl-C.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import requests
import yaml
from rich.console import Console

from control_api.settings import Settings
from control_api.submitting import DEFAULT_EXPERIMENT
from control_api.up.client import Client, Refused
from control_api.up.server import NotServing, Server
from control_api.up.stand_in import NoStandIn, wandb_of
from control_api.up.watch import watch
from control_api.up.words import curl_lines, midcourse_lines, summary
from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.runs import ENDED, RunStatus

RESTING = frozenset({RunStatus.PAUSED, RunStatus.SUSPENDED})
DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "trainer" / "configs" / "digits.json"


def main() -> int:
    """Serve, submit, watch, sum up."""
    console = Console(soft_wrap=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        with wandb_of(os.environ.get("WANDB")) as wandb:
            return _up(console, wandb)
    except (InvalidInput, NoStandIn) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        return 1 if os.environ.get("EXIT") == "1" else 0


def _up(console: Console, wandb: str | None) -> int:
    server = settings = None
    try:
        config = read_config(Path(os.environ.get("CONFIG") or DEFAULT_CONFIG))
        settings = Settings.read()
        server = Server(settings)
        if wandb is not None:
            console.print(f"A stand-in for W&B is at {wandb} until this ends.", highlight=False)
        return _attend(server, config, console)
    except (Refused, InvalidInput, NotServing, requests.RequestException, OSError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        stay = settings is None or settings.trainers_stay
        console.print(
            "\nThe control API has ended. Runs that were training train on by themselves."
            if stay
            else "\nThe control API ends. Runs write a checkpoint, and go on at the next start."
        )
        return 1 if os.environ.get("EXIT") == "1" else 0
    finally:
        if server is not None:
            server.stop()


def _attend(server: Server, config: dict[str, Any], console: Console) -> int:
    settings, token = server.settings, server.token()
    url = settings.url
    client = Client(url, token)
    if (run := unfinished(client, config)) is not None:
        state = "goes on" if run["status"] not in RESTING else f"is {run['status']}: resume it"
    else:
        run, state = client.post("/runs", {"config": config}), "is under way"
    run_id = run["id"]
    console.print(f"The control API serves {url}; run {run_id} {state}. Steer it with:\n")
    console.print(curl_lines(settings, token, run_id) + "\n", markup=False, highlight=False)
    console.print("or, in another terminal, with less to type:\n")
    console.print(midcourse_lines(settings, run_id) + "\n", markup=False, highlight=False)
    run = watch(client, run_id, console, settings)
    console.print("\n" + summary(run, settings), markup=False, highlight=False)
    succeeded = run["status"] == RunStatus.FINISHED
    if os.environ.get("EXIT") == "1":
        return 0 if succeeded else 1
    console.print(f"\nThe control API goes on serving {url} until Ctrl-C.", highlight=False)
    server.wait()
    console.print("The control API has ended.")
    return 1


def unfinished(client: Client, config: dict[str, Any]) -> dict[str, Any] | None:
    """The newest training of this very configuration that has not ended, or what took its place.

    Not a fork or a replay of one, which have its configuration too.

    Raises:
        Refused: with the API's own words.
        requests.RequestException: it cannot be reached.
    """
    wanted = {"experiment": DEFAULT_EXPERIMENT, **config}
    live = ",".join(status for status in RunStatus if status not in ENDED)
    found = client.get("/runs", status=live, sort="-created_at", limit=500)["runs"]
    return next((run for run in found if run["config"] == wanted and not _is_branch(run)), None)


def _is_branch(run: dict[str, Any]) -> bool:
    origin = run["origin"]
    return run["replay"] is not None or (origin is not None and not origin["revert"])


def read_config(path: Path) -> dict[str, Any]:
    """A training's parameters, from JSON or YAML. The trainer checks what they say.

    Raises:
        InvalidInput: it cannot be read, is neither, or holds no object.
    """
    try:
        text = path.read_text(encoding="utf-8")
        loaded = (
            yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else strict_json_loads(text)
        )
    except OSError as error:
        why = f"cannot be read: {error.strerror}. CONFIG names it"
        raise InvalidInput([Fault(path=str(path), message=why)]) from None
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidInput([Fault(path=str(path), message=f"cannot be read: {error}")]) from None
    if not isinstance(loaded, dict):
        raise InvalidInput([Fault(path=str(path), message="must hold an object")])
    return loaded


if __name__ == "__main__":
    sys.exit(main())
