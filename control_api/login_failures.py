"""Requests without a good token: counted by address, in the database, for all processes.

A token has 256 random bits, which no number of tries will guess. What the limit keeps small is the
noise: the work of the database, and the lines of the audit. So a good token is served whatever
others at its address do, behind whose one address a whole office may sit.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_network

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from control_api.asking import Requester, note
from control_api.database import Database
from control_api.problems import ApiProblem, TooManyFailedLogins
from control_api.proxies import parse_address
from control_api.rows import insert_new
from control_api.settings import Settings
from control_api.tables import LoginFailureRow
from midcourse.contract.api.audit import Outcome

MAX_ADDRESSES = 10_000
"""Counted each for itself within a window; what comes from yet others is counted together."""
OTHERS = "others"


class LoginFailures:
    """Counts failures and says when it is too many."""

    def __init__(self, settings: Settings, database: Database, now: Callable[[], datetime]) -> None:
        self._limit = settings.max_failed_logins
        self._window = timedelta(seconds=settings.failed_login_seconds)
        self._database = database
        self._now = now
        self._closed: dict[str, datetime] = {}
        """Until when which address gets no more than 429: so that a flood writes nothing."""

    def count(
        self, by: Requester, outcome: Outcome, problem: ApiProblem, subject: str | None
    ) -> ApiProblem:
        """Count one, and have the audit tell of it unless it is one too many of many.

        Args:
            by: who asked.
            outcome: whether it is a token that failed, or the request that was refused.
            problem: what is wrong with it.
            subject: how the token began, or whose it was.

        Returns:
            The problem, or the one that there were too many.
        """
        address, now = _counted_as(by.address), self._now()
        until = self._closed.get(address)
        if until is None or until <= now:
            with self._database.writing() as session:
                row = self._row(session, address, now)
                row.count += 1
                until = row.since + self._window
                over = row.count - self._limit
                if over == 1:
                    problem = self._too_many(by, until, now)
                if over <= 1:
                    status, slug = problem.status, problem.type
                    note(
                        session,
                        by,
                        None,
                        outcome=outcome,
                        subject=subject,
                        status=status,
                        problem=slug,
                    )
            if over < 1:
                return problem
            self._close(address, until, now)
        return self._too_many(by, until, now)

    def _row(self, session: Session, address: str, now: datetime) -> LoginFailureRow:
        old = LoginFailureRow.since <= now - self._window
        session.execute(delete(LoginFailureRow).where(old))
        row = session.get(LoginFailureRow, address, with_for_update=True)
        if row is None:
            counted = session.scalar(select(func.count()).select_from(LoginFailureRow)) or 0
            address = address if counted < MAX_ADDRESSES else OTHERS
            insert_new(session, LoginFailureRow, [{"address": address, "since": now, "count": 0}])
            row = session.get_one(LoginFailureRow, address, with_for_update=True)
        return row

    def _close(self, address: str, until: datetime, now: datetime) -> None:
        if len(self._closed) >= MAX_ADDRESSES:
            self._closed = {key: end for key, end in self._closed.items() if end > now}
        if len(self._closed) < MAX_ADDRESSES:
            self._closed[address] = until

    def _too_many(self, by: Requester, until: datetime, now: datetime) -> TooManyFailedLogins:
        seconds = max(1, math.ceil((until - now).total_seconds()))
        return TooManyFailedLogins(by.address or "here", seconds)


def _counted_as(address: str | None) -> str:
    """The address; of IPv6 the network of 64 bits, all of which one customer has."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address or "unknown")[:100]
