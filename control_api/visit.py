"""A request on its way through the service: who sent it, from where, and what is noted of it."""

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from flask import g
from werkzeug.wrappers import Request

from control_api.asking import Mark, Requester
from control_api.origins import SAFE
from control_api.roles import Special
from control_api.tokens import Caller

REQUEST_ID: Final = "X-Request-Id"
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
"""What may be taken over from a client: fits the audit, and breaks no log."""


@dataclass
class Visit:
    """One request, from when it came."""

    request_id: str
    method: str
    path: str
    """Without the query."""
    began: float = field(default_factory=time.perf_counter)
    address: str | None = None
    """Of who sent it."""
    caller: Caller | None = None
    """Whose token it had; None until that is known to be good."""
    mark: Mark = field(default_factory=Mark)

    @classmethod
    def of(cls, request: Request) -> "Visit":
        """A request that has just come."""
        given = request.headers.get(REQUEST_ID, "")
        request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        return cls(request_id, request.method, request.path)

    @property
    def is_changing(self) -> bool:
        """Whether it would change something."""
        return self.method not in SAFE

    @property
    def seconds(self) -> float:
        """Since it came."""
        return time.perf_counter() - self.began

    @property
    def requester(self) -> Requester:
        """Who sent it, as the audit keeps it; nobody where no token was good.

        Commands go under the name of the token, which no header changes.
        """
        known = self.caller
        role = None if known is None else known.role or Special.TRAINER
        return Requester(
            actor="" if known is None else known.name,
            token_id=None if known is None else known.token_id,
            role=None if role is None else role.value,
            address=self.address,
            request_id=self.request_id,
            method=self.method,
            path=self.path,
            mark=self.mark,
        )


def visit() -> Visit:
    """The request that this view answers."""
    present: Visit = g.visit
    return present
