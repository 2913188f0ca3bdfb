"""Who may do what, and who did: tokens and the audit."""

from collections.abc import Iterator
from datetime import datetime

from midcourse.client.streams import Streams
from midcourse.client.transport import segment
from midcourse.contract.api.audit import AuditAnswer, AuditEntry
from midcourse.contract.api.tokens import TokenMade, TokensAnswer, TokenView, WhoAmI
from midcourse.contract.base import strict_json_loads


class Access(Streams):
    """Verbs of the control API's door."""

    def whoami(self) -> WhoAmI:
        """Whom the client's token speaks for."""
        return self._wire.get(WhoAmI, "/whoami")

    def make_token(
        self, name: str, role: str, *, expires_in_days: float | None = None
    ) -> TokenMade:
        """A new token; what it is is told this once.

        Args:
            name: whom its commands are signed with.
            role: `viewer`, `operator` or `admin`.
            expires_in_days: without it, it is good until it is revoked.
        """
        body = {"name": name, "role": role}
        more = {} if expires_in_days is None else {"expires_in_days": expires_in_days}
        return self._wire.ask("POST", TokenMade, "/tokens", body={**body, **more})

    def tokens(self, *, ended: bool = False) -> list[TokenView]:
        """The tokens that are good; with `ended`, those that were, too."""
        return self._wire.get(TokensAnswer, "/tokens", {"ended": ended or None}).tokens

    def revoke_token(self, name: str) -> TokenView:
        """End a token at once."""
        return self._wire.ask("DELETE", TokenView, f"/tokens/{segment(name)}")

    def audit(
        self,
        *,
        actor: str | None = None,
        run: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: int | None = None,
    ) -> AuditAnswer:
        """A page of who asked for what, the newest first."""
        query = {"actor": actor, "run": run, "outcome": outcome, "limit": limit, "cursor": cursor}
        times = {"since": _moment(since), "until": _moment(until)}
        return self._wire.get(AuditAnswer, "/audit", {**query, **times})

    def download_audit(
        self,
        *,
        actor: str | None = None,
        run: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """The whole audit, as it comes."""
        query = {"actor": actor, "run": run, "outcome": outcome}
        times = {"since": _moment(since), "until": _moment(until)}
        for line in self._lines("/audit/download", {**query, **times}):
            yield AuditEntry.model_validate(strict_json_loads(line), extra="ignore")


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
