"""`midcourse doctor`: checks what Midcourse needs, and says how to mend it."""

import os
from collections.abc import Callable
from urllib.parse import urlsplit

import click

from midcourse.cli import checks
from midcourse.cli.checks import Check, Verdict
from midcourse.cli.options import Common, common
from midcourse.cli.printing import console, show_json
from midcourse.client import Client, ClientError, NotReachable, Troubled
from midcourse.client.credentials import Credentials, find_url
from midcourse.client.transport import Transport
from midcourse.contract.api.health import Health
from midcourse.contract.errors import InvalidInput
from midcourse.version import __version__

_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.NOTE: ("note", "yellow"),
    Verdict.FAULT: ("fault", "red"),
}


@click.command()
@common
def doctor(said: Common) -> int:
    """Check what Midcourse needs, and say how to mend what is wrong.

    It looks at which code this is, Python, PyTorch and its CUDA, the GPU, Docker, W&B, the disk,
    the port and the control API. A note is worth knowing and stops nothing; the exit code is 1 if
    there is a fault.
    """
    looks: list[Callable[[], Check]] = [
        checks.source,
        checks.python,
        checks.torch,
        checks.gpu,
        checks.docker,
        checks.wandb,
        checks.disk,
        lambda: control_api(said.url),
    ]
    found = []
    for look in looks:
        check = look()
        found.append(check)
        if not said.as_json:
            _tell(check)
    if said.as_json:
        show_json({"checks": [check.model_dump(mode="json") for check in found]})
    return 1 if any(check.verdict is Verdict.FAULT for check in found) else 0


def control_api(url: str | None) -> Check:
    """Is one there, does it know the token, and is it of this version?"""
    name = "Control API"
    try:
        address = find_url(url, os.environ)
    except InvalidInput as error:
        return Check(name=name, verdict=Verdict.FAULT, found=str(error), mend="correct it")
    probe = Transport(Credentials(address, "none", "doctor"), retries=0)
    try:
        health = probe.get(Health, "/healthz")
    except ClientError as error:
        return _silent(address, error)
    finally:
        probe.close()
    told = f"{address}, version {health.version}"
    try:
        client = Client(address, retries=0)
        who = client.whoami()
        client.readiness()
    except Troubled as error:
        mend = "its log says more; `make up` writes it to control_api.log in the home"
        return Check(name=name, verdict=Verdict.FAULT, found=f"{told}: {error}", mend=mend)
    except (ClientError, InvalidInput) as error:
        mend = f"midcourse login {address}"
        return Check(name=name, verdict=Verdict.FAULT, found=f"{told}: {error}", mend=mend)
    told = f"{told}, as {who.name} ({who.role})"
    if health.version != __version__:
        return Check(
            name=name,
            verdict=Verdict.NOTE,
            found=f"{told}; this is {__version__}",
            mend="bring both to the same version",
        )
    return Check(name=name, verdict=Verdict.OK, found=told)


def _silent(address: str, error: ClientError) -> Check:
    """Nothing answers as a control API does: is something else there, or nothing?"""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if local and isinstance(error, NotReachable) and checks.port_is_free(port):
        return Check(
            name="Control API",
            verdict=Verdict.NOTE,
            found=f"none at {address}; the port is free",
            mend="`midcourse up` starts one; `midcourse login URL` goes to another",
        )
    found, mend = (
        f"{address} does not answer",
        "is it running, and does a firewall let you through?",
    )
    if local:
        found = f"something else has port {port}"
        mend = f"end it (ss -ltnp 'sport = :{port}' names it), or `midcourse up --port {port + 1}`"
    return Check(name="Control API", verdict=Verdict.FAULT, found=found, mend=mend)


def _tell(check: Check) -> None:
    mark, style = _MARKS[check.verdict]
    screen = console()
    screen.print(f"[{style}]{mark:<6}[/]", end="")
    screen.print(f"{check.name:<12} {check.found}", markup=False)
    if check.mend:
        screen.print(f"{'':<19}to mend it: {check.mend}", markup=False)
