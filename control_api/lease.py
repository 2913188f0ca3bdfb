"""A lease in the database: of all processes that serve it, one at a time does what one should."""

import os
import secrets
import socket
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from control_api.rows import insert_new
from control_api.tables import LeaseRow

LEASE = "reconciler"
"""The name of the reconciler's."""
TAGS_LEASE = "page tags"
"""The name of that of whoever looks at W&B's pages."""


class LeaseLost(Exception):
    """This process was away for so long that another one has the lease now."""


class Lease:
    """One claimant of a named lease."""

    def __init__(self, name: str, seconds: float, holder: str | None = None) -> None:
        """A claimant under a name of its own.

        Args:
            name: of the lease.
            seconds: how long a claim lasts.
            holder: who claims; whoever knows that an earlier claimant is dead may say that it is
                the same one, and need not wait.
        """
        self.name = name
        self.seconds = seconds
        self.holder = holder or new_holder()

    def claim(self, session: Session, now: datetime) -> bool:
        """Take or renew it.

        Returns:
            False while another holds it.
        """
        until = now + timedelta(seconds=self.seconds)
        row = session.get(LeaseRow, self.name, with_for_update=True)
        if row is None:  # for another, too, maybe: one of the two rows is kept
            ours = {"name": self.name, "holder": self.holder, "expires_at": until}
            insert_new(session, LeaseRow, [ours])
            row = session.get_one(LeaseRow, self.name, with_for_update=True)
        if row.holder != self.holder and row.expires_at > now:
            return False
        if row.holder != self.holder:
            row.trouble = None
        row.holder = self.holder
        row.expires_at = until
        return True

    def tell(self, session: Session, trouble: str | None) -> None:
        """Say what keeps us from the work that the lease is for; None: nothing."""
        row = session.get(LeaseRow, self.name)
        if row is not None and row.holder == self.holder:
            row.trouble = trouble

    def worked(self, session: Session, now: datetime) -> None:
        """Say that the work was done."""
        row = session.get(LeaseRow, self.name)
        if row is not None and row.holder == self.holder:
            row.worked_at = now

    def release(self, session: Session) -> None:
        """Give it back, if it is ours."""
        session.execute(
            delete(LeaseRow).where(LeaseRow.name == self.name, LeaseRow.holder == self.holder)
        )


def last_claim(session: Session, name: str, seconds: float) -> datetime | None:
    """When a lease was last taken or renewed; None where nobody has it.

    Args:
        session: of the caller.
        name: of the lease.
        seconds: how long a claim lasts.
    """
    row = session.get(LeaseRow, name)
    return None if row is None else row.expires_at - timedelta(seconds=seconds)


def trouble_of(session: Session, name: str) -> str | None:
    """What keeps the holder of a lease from its work."""
    row = session.get(LeaseRow, name)
    return None if row is None else row.trouble


def last_work(session: Session, name: str) -> datetime | None:
    """When a holder of a lease last said that it did the work."""
    row = session.get(LeaseRow, name)
    return None if row is None else row.worked_at


def new_holder() -> str:
    """A name that no other claimant has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
