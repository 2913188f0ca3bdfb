"""`python -m control_api`: serve the control API.

Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot start (port in use, folder not writable),
2 for a malformed setting. `docs/configuration.md` lists the environment variables.
"""

import argparse
import errno
import os
import sys
from socket import socket

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from control_api.database import Database
from control_api.serve import listen, serve
from control_api.settings import Settings
from control_api.tokens import ensure_admin
from midcourse.contract.errors import InvalidInput, MidcourseError


class CannotStart(MidcourseError):
    """The text says why, in one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Parse, prepare, serve."""
    given = _parser().parse_args(arguments)
    try:
        settings = Settings.read(host=given.host, port=given.port)
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        _prepare_home(settings)
        listener = _listen(settings)
        token = _prepare_database(settings)
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _greet(settings, token)
    serve(settings, listener)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m control_api", description="Serve Midcourse's control API."
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
        # SQLAlchemy's own text may repeat the whole URL; the driver's says what is wrong.
        raise CannotStart(f"The database cannot be used: {getattr(error, 'orig', error)}") from None


def _greet(settings: Settings, token: str | None) -> None:
    sys.stdout.write(f"Midcourse's control API serves {settings.url}\n")
    if token is None:
        sys.stdout.write("Its admin token was printed at the first start.\n")
    else:
        sys.stdout.write(f"Admin token (also in {settings.token_file}): {token}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
