"""`python -m control_api tokens …`: tokens made, listed and revoked in the database itself.

For the first admin, and for emergencies: it needs no token, only what the API itself can read, and
it may revoke the last admin's.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from control_api.asking import Requester, note
from control_api.database import Database
from control_api.settings import Settings
from control_api.tables import TokenRow
from control_api.tokens import list_tokens, make_token, revoke_token, token_view
from midcourse.contract.api.tokens import MAX_DAYS, TOKEN_NAME_PATTERN, MakeToken
from midcourse.contract.base import utc_now
from midcourse.contract.errors import InvalidInput, MidcourseError
from midcourse.contract.roles import Role

COMMAND_LINE = "the command line"
"""The actor: no token can be called so, as names have no spaces."""

_UNITS = {"m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0}


def main(arguments: list[str], now: Callable[[], datetime] = utc_now) -> int:
    """Parse, open the database, do.

    Returns:
        0; 1 where it was refused or cannot be done, in one sentence on standard error; 2 for a
        malformed setting.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = Settings.read()
        settings.home.mkdir(parents=True, exist_ok=True)
        with closing(Database(settings.database_url)) as database:
            database.migrate()  # it may be the first to come
            given.do(given, database, now())
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except MidcourseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (CommandError, SQLAlchemyError, ImportError, OSError) as error:
        sys.stderr.write(f"The database cannot be used: {getattr(error, 'orig', error)}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m control_api tokens",
        description="Make, list and revoke tokens, in the database itself.",
    )
    actions = parser.add_subparsers(title="what to do", required=True, metavar="make|list|revoke")
    make = actions.add_parser("make", help="make a token; it is printed this once")
    make.add_argument("name", type=_name, help="what its commands and the audit call its holder")
    make.add_argument(
        "--role", required=True, choices=[*Role], type=Role, help="what it may do", metavar="ROLE"
    )
    make.add_argument(
        "--expires", type=_days, metavar="30d", help="how long it is good, in m, h, d or w"
    )
    make.set_defaults(do=_make)
    show = actions.add_parser("list", help="list those that are good")
    show.add_argument("--ended", action="store_true", help="also those that were")
    show.add_argument("--json", action="store_true", help="a JSON object a line")
    show.set_defaults(do=_list)
    revoke = actions.add_parser("revoke", help="end a token at once, be it the last admin's")
    revoke.add_argument("name")
    revoke.set_defaults(do=_revoke)
    return parser


def _make(given: argparse.Namespace, database: Database, now: datetime) -> None:
    wanted = MakeToken(name=given.name, role=given.role, expires_in_days=given.expires)
    with database.writing() as session:
        row, token = make_token(session, wanted, COMMAND_LINE, now)
        note(session, Requester(COMMAND_LINE), "make_token", subject=row.name)
    until = f" until {_moment(row.expires_at)}" if row.expires_at else ""
    sys.stderr.write(f"{row.name} has the role {row.role}{until}. This is shown once:\n")
    sys.stdout.write(f"{token}\n")


def _list(given: argparse.Namespace, database: Database, now: datetime) -> None:
    with database.reading() as session:
        rows = list_tokens(session, now, ended=given.ended)
    if given.json:
        sys.stdout.writelines(token_view(row, now).to_json() + "\n" for row in rows)
        return
    table = [("NAME", "ROLE", "MADE", "BY", "EXPIRES", *(["ENDED"] if given.ended else []))]
    for row in rows:
        table.append(_line(row, now)[: len(table[0])])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _line(row: TokenRow, now: datetime) -> tuple[str, ...]:
    view = token_view(row, now)
    ended = _moment(view.ended_at)
    return (
        row.name,
        str(row.role),
        _moment(row.created_at),
        row.created_by or "",
        _moment(row.expires_at) or "never",
        f"{ended} by {row.ended_by}" if row.ended_by else ended,
    )


def _revoke(given: argparse.Namespace, database: Database, now: datetime) -> None:
    with database.writing() as session:
        revoke_token(session, given.name, COMMAND_LINE, now, last_admin_too=True)
        note(session, Requester(COMMAND_LINE), "revoke_token", subject=given.name)
        admins = [row for row in list_tokens(session, now) if row.role is Role.ADMIN]
    sys.stderr.write(f"{given.name} is revoked.\n")
    if not admins:
        sys.stderr.write(
            "No admin is left; make one: python -m control_api tokens make NAME --role admin\n"
        )


def _name(text: str) -> str:
    if not re.fullmatch(TOKEN_NAME_PATTERN, text):
        raise argparse.ArgumentTypeError(
            f"{json.dumps(text)} is no name: letters, digits and ._@+- are, up to 63 of them"
        )
    return text


def _days(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text, re.ASCII)
    days = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < days <= MAX_DAYS:
        raise argparse.ArgumentTypeError(
            f"must be a time such as 30d, 12h or 8w, at most {MAX_DAYS}d, not {text!r}"
        )
    return days


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
