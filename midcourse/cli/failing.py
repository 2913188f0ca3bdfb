"""Errors for people: one line, and an exit code for scripts."""

import json
import os
import sys
import traceback
from typing import Any

import click

from midcourse.client.errors import (
    AmbiguousName,
    Forbidden,
    NoToken,
    NotReachable,
    Refused,
    Troubled,
    Unauthenticated,
)
from midcourse.contract.errors import InvalidInput, MidcourseError

REFUSED, USAGE, UNREACHABLE, NOT_ALLOWED, NOT_YET, INTERRUPTED = 1, 2, 3, 4, 5, 130


class NotYet(MidcourseError):
    """A command was accepted and has no receipt so far; `message` says where to look."""


def explain(error: BaseException, *, as_json: bool = False, debug: bool = False) -> int:
    """Say what went wrong, on standard error.

    Args:
        error: what was raised.
        as_json: as one JSON object, for programs.
        debug: with the traceback.

    Returns:
        The exit code.
    """
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, KeyboardInterrupt | click.Abort):
        sys.stderr.write("\n")
        return INTERRUPTED
    if isinstance(error, SystemExit | click.exceptions.Exit):
        code = error.code if isinstance(error, SystemExit) else error.exit_code
        return code if isinstance(code, int) else 0
    if debug:
        traceback.print_exception(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        return USAGE
    code, sentence = _code(error), _sentence(error)
    if as_json:
        click.echo(json.dumps(_as_problem(error, sentence, code)), err=True)
    else:
        click.echo(f"midcourse: {sentence}", err=True)
    return code


def _code(error: BaseException) -> int:
    match error:
        case click.UsageError() | InvalidInput() | AmbiguousName():
            return USAGE
        case NotReachable():
            return UNREACHABLE
        case Unauthenticated() | Forbidden() | NoToken():
            return NOT_ALLOWED
        case NotYet():
            return NOT_YET
    return REFUSED


def _sentence(error: BaseException) -> str:
    match error:
        case click.UsageError():
            hint = f" See `{error.ctx.command_path} --help`." if error.ctx else ""
            return f"{error.format_message()}{'' if '--help' in error.format_message() else hint}"
        case click.ClickException():
            return error.format_message()
        case Unauthenticated():
            return f"{error} `midcourse login` takes another token."
        case Troubled():
            return f"{error} (status {error.status})"
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return f"{named}{error.strerror or error}"
        case MidcourseError():
            return " ".join(str(error).split("\n")) if len(str(error)) < 300 else str(error)
    return f"a fault of midcourse itself: {type(error).__name__}: {error} (--debug shows where)"


def _as_problem(error: BaseException, sentence: str, code: int) -> dict[str, Any]:
    if isinstance(error, Refused):
        return {**error.problem.model_dump(mode="json"), **error.extensions, "exit_code": code}
    more: dict[str, Any] = {}
    if isinstance(error, AmbiguousName):
        more["candidates"] = error.candidates
    return {"type": "about:blank", "title": sentence, "exit_code": code, **more}
