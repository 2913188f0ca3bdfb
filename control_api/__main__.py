"""`python -m control_api`: serve the control API; with `reconcile`, only start and watch trainers.

Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot start (port in use, folder not writable),
2 for a malformed setting. `docs/configuration.md` lists the environment variables.
"""

import argparse
import errno
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from socket import socket

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from control_api import logs, token_command
from control_api.database import Database
from control_api.exits import Exits
from control_api.launchers.docker_engine import SdkMissing, require_sdk
from control_api.lease import new_holder
from control_api.page_tags.watch import watch_page_tags
from control_api.reconcile import reconcile
from control_api.serve import listen, serve
from control_api.settings import Settings
from control_api.supervisor import Orphans, Supervisor, Work
from control_api.tokens import ensure_admin
from midcourse.contract.errors import InvalidInput, MidcourseError

SERVE, RECONCILE, TOKENS = "serve", "reconcile", "tokens"


class CannotStart(MidcourseError):
    """The text says why, in one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Parse, prepare, supervise."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [TOKENS]:
        return token_command.main(arguments[1:])
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.what == RECONCILE and not given.reconciler:
        parser.error("reconcile does nothing without its reconciler")
    try:
        settings = Settings.read(host=given.host, port=given.port)
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        if settings.containers is not None:
            require_sdk()
        _prepare_home(settings)
        listener = _listen(settings) if given.what == SERVE else None
        had_token = settings.token_file.exists()
        token = _prepare_database(settings)
    except (CannotStart, SdkMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logs.set_up(settings.log_level, settings.log_format)
    if listener is not None:
        _greet(settings, None if had_token else token)
    _supervise(settings, listener, reconciles=given.reconciler)
    return 0


def _supervise(settings: Settings, listener: socket | None, *, reconciles: bool) -> None:
    works: dict[str, Work] = {}
    counts = Path(tempfile.mkdtemp(prefix="midcourse-counts-"))
    holder = new_holder()  # of each reconciler that is started here: one at a time lives
    if listener is not None:
        works["web"] = lambda: serve(settings, listener, counts)
    if reconciles:
        works["reconciler"] = lambda: reconcile(settings, holder)
        if settings.wandb.tag_verbs:
            works["tags"] = lambda: watch_page_tags(settings, holder)
    supervisor = Supervisor(
        works,
        Exits(settings.exits),
        orphans=None if settings.trainers_stay else Orphans("reconciler", settings.obey_seconds),
        # Whoever comes now is refused at once, and may ask another.
        when_ending=listener.close if listener is not None else lambda: None,
    )
    try:
        supervisor.run()
    finally:
        shutil.rmtree(counts, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m control_api",
        description="Serve Midcourse's control API.",
        epilog="`python -m control_api tokens --help` is for tokens.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=(SERVE, RECONCILE),
        default=SERVE,
        help="serve: answer requests, start and watch trainers (the default); reconcile: only the "
        "latter, beside servers elsewhere",
    )
    parser.add_argument(
        "--no-reconciler",
        dest="reconciler",
        action="store_false",
        help="only answer requests: trainers are started by another process",
    )
    parser.add_argument("--host", help="address to listen on (MIDCOURSE_HOST; 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="port to listen on (PORT; 8080)")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 65535, not {text!r}")
    return int(text)


def _prepare_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        if settings.containers is not None:  # else the engine makes what it mounts, as root
            for part in ("runs", "data"):
                (settings.home / part).mkdir(exist_ok=True)
        probe = settings.home / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"The folder {settings.home} cannot be written ({error.strerror}); "
            "set MIDCOURSE_HOME to one that can."
        ) from None


def _listen(settings: Settings) -> socket:
    try:
        return listen(settings)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"Port {settings.port} is in use; stop what uses it, or choose another by PORT=."
        else:
            why = f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}."
        raise CannotStart(why) from None


def _prepare_database(settings: Settings) -> str | None:
    try:
        database = Database(settings.database_url)
        try:
            database.migrate()
            with database.writing() as session:
                return ensure_admin(session, settings.token_file)
        finally:
            database.close()
    except CommandError as error:
        raise CannotStart(f"The database is of another version of Midcourse: {error}") from None
    except (SQLAlchemyError, ImportError, OSError) as error:
        # SQLAlchemy's own text may repeat the whole URL; the driver's says what is wrong, in its
        # first line.
        words = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise CannotStart(f"The database cannot be used: {words}") from None


def _greet(settings: Settings, token: str | None) -> None:
    sys.stdout.write(f"Midcourse's control API serves {settings.url}\n")
    if settings.in_container:  # what it prints is kept, and often sent on
        look = f"docker exec {platform.node()} cat {settings.token_file}"
        sys.stdout.write(f"The admin's token: {look}\n")
    elif token is None:
        sys.stdout.write(
            f"The first start printed the admin's token, and wrote it to {settings.token_file}.\n"
        )
    else:
        sys.stdout.write(f"Admin token (also in {settings.token_file}): {token}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
