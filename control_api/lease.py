"""A lease in the database: of all processes that serve it, one at a time does what one should."""

import os
import secrets
import socket
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from control_api.tables import LeaseRow


class Lease:
    """One claimant of a named lease."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def claim(self, session: Session, now: datetime) -> bool:
        """Take or renew it.

        Returns:
            False while another holds it.
        """
        row = session.get(LeaseRow, self.name, with_for_update=True)
        if row is None:
            row = LeaseRow(name=self.name)
            session.add(row)
        elif row.holder != self.holder and row.expires_at > now:
            return False
        row.holder = self.holder
        row.expires_at = now + timedelta(seconds=self.seconds)
        return True

    def release(self, session: Session) -> None:
        """Give it back, if it is ours."""
        session.execute(
            delete(LeaseRow).where(LeaseRow.name == self.name, LeaseRow.holder == self.holder)
        )
