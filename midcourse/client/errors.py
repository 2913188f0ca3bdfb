"""What can come between a client and what it wants; the message is for people."""

from typing import Any

from midcourse.contract.errors import Fault, MidcourseError, Problem
from midcourse.contract.receipts import Receipt

NOT_APPLIED = "/problems/command-not-applied"


class ClientError(MidcourseError):
    """The base of all that a `Client` raises."""


class NotReachable(ClientError):
    """No control API answers at the address."""


class NoToken(ClientError):
    """No token is known for the address."""


class UnknownName(ClientError):
    """Nothing goes by the name or the beginning of an id that was given."""


class AmbiguousName(ClientError):
    """More than one run fits; `candidates` has the ids of those that do."""

    def __init__(self, message: str, candidates: list[str]) -> None:
        super().__init__(message)
        self.candidates = candidates


class Refused(ClientError):
    """The control API answered with a problem (RFC 9457)."""

    def __init__(self, problem: Problem, extensions: dict[str, Any] | None = None) -> None:
        self.problem = problem
        self.extensions = extensions or {}
        """What the problem says beside the members that all have, such as `receipt` or `run`."""
        super().__init__(_sentence(problem))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def type(self) -> str:
        """The stable type, such as `/problems/unknown-run`."""
        return self.problem.type

    @property
    def faults(self) -> list[Fault]:
        """Everything that was wrong, each by its path."""
        return self.problem.faults


class Unauthenticated(Refused):
    """The token is missing, unknown, expired or revoked (401)."""


class Forbidden(Refused):
    """The token is good, but its role may not do that (403)."""


class NotFound(Refused):
    """There is no such run, command or address (404)."""


class NotApplied(Refused):
    """A command was waited for and did not act; `receipt` says why (409)."""

    @property
    def receipt(self) -> Receipt:
        """What became of the command."""
        return Receipt.model_validate(self.extensions["receipt"], extra="ignore")


class Troubled(Refused):
    """The control API has trouble of its own (5xx); the same request may pass later."""


def refused(problem: Problem, extensions: dict[str, Any]) -> Refused:
    """The exception that fits a problem."""
    if problem.type == NOT_APPLIED and "receipt" in extensions:
        return NotApplied(problem, extensions)
    kinds: dict[int, type[Refused]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound}
    kind = Troubled if problem.status >= 500 else kinds.get(problem.status, Refused)
    return kind(problem, extensions)


def _sentence(problem: Problem) -> str:
    """The detail; the faults are told where it does not have them already."""
    said = problem.detail or problem.title
    missing = [str(fault) for fault in problem.faults if fault.message not in said]
    return "; ".join([said.rstrip("."), *missing]) if missing else said
