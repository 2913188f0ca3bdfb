"""`make up WANDB=stand-in`: the tests' stand-in for the W&B server, beside the control API.

It is a program of the checkout's tests, started by command line and never imported.
"""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from control_api.variables import SYNC
from midcourse.contract.errors import Fault, InvalidInput, MidcourseError

TESTS = Path(__file__).resolve().parents[2] / "tests"
STOP_SECONDS = 10.0


class NoStandIn(MidcourseError):
    """The stand-in did not start; the text is what it said."""


@contextlib.contextmanager
def wandb_of(wanted: str | None) -> Iterator[str | None]:
    """What `WANDB=` asks for, until the block ends: nothing, or a stand-in for the server.

    While there is one, the environment leads to it all that is started, with a made-up key.

    Args:
        wanted: the value of `WANDB`; empty counts as unset.

    Yields:
        The stand-in's address, or None.

    Raises:
        InvalidInput: the value is neither.
        NoStandIn: it could not be started.
    """
    if not wanted:
        yield None
        return
    if wanted != "stand-in":
        why = f"must be stand-in, or unset to log as the environment says; it is {wanted!r}"
        raise InvalidInput([Fault(path="WANDB", message=why)])
    with StandIn() as stand_in:
        os.environ.update(stand_in.environment)
        yield stand_in.url


class StandIn:
    """`python -m wandb_server` on a free port of the loopback; it ends with the block, or us."""

    def __init__(self) -> None:
        """Start it and wait until it serves.

        Raises:
            NoStandIn: it is not there, or ended instead.
        """
        if not (TESTS / "wandb_server").is_dir():
            raise NoStandIn(
                "WANDB=stand-in needs the checkout with its tests, and they are not here."
            )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wandb_server", "--end-with-parent"],
            env={**_without_wandb(os.environ), "PYTHONPATH": str(TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is ours; it outlives what still reports to it
        )
        assert self._process.stdout is not None
        greeting = self._process.stdout.readline().split()
        if not greeting:
            _, said = self._process.communicate()
            last = said.strip().splitlines()[-1:] or ["it ended without a word"]
            raise NoStandIn(f"The stand-in for W&B did not start: {last[0]}")
        self.url = greeting[-1]

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads W&B's SDK to it; any key will do, so a real one is not shown to it.

        What a home's earlier runs left unsent is not for it: it forgets them when it ends.
        """
        return {
            SYNC: "off",
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": secrets.token_hex(20),
        }

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.communicate()


def _without_wandb(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("WANDB")}
