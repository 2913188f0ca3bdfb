"""What the control API refuses, one class for each; its docstring says when.

`control_api.errors` turns them into problem+json answers. `slug` is the stable part of the type
URI, which programs may compare.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from midcourse.contract import link
from midcourse.contract.api.health import Check
from midcourse.contract.errors import Fault, MidcourseError
from midcourse.contract.names import RunId
from midcourse.contract.receipts import CommandState, Receipt
from midcourse.contract.records import Moment


class ApiProblem(MidcourseError):
    """The base: an answer that is not what the client asked for."""

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    adds: ClassVar[Mapping[str, Any]] = {}
    """Members of its answer besides those that all have, by name, with their types."""

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        assert extensions.keys() == self.adds.keys()
        self.detail = detail
        self.faults = list(faults)
        self.headers = dict(headers or {})
        self.extensions = extensions

    @property
    def type(self) -> str:
        """The problem type, a URI reference."""
        return f"/problems/{self.slug}"


class MalformedBody(ApiProblem):
    """The body is not JSON as RFC 8259 has it, or not an object."""

    status, slug, title = 400, "malformed-body", "The body is not the JSON that is expected"


class CannotSend(ApiProblem):
    """Nothing can be sent to W&B from here; the detail says what is missing."""

    status, slug, title = 409, "cannot-send", "Nothing can be sent to W&B from here"


class Unauthenticated(ApiProblem):
    """No token, or one that nobody was given."""

    status, slug, title = 401, "unauthenticated", "A valid token is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="midcourse"'})


class Forbidden(ApiProblem):
    """The token is good, but not for this."""

    status, slug, title = 403, "forbidden", "This token may not do that"


class ForeignOrigin(ApiProblem):
    """The request was addressed to another name, or sent by a page from elsewhere."""

    status, slug, title = 403, "foreign-origin", "The request comes from a foreign place"


class UnknownRun(ApiProblem):
    """There is no such run."""

    status, slug, title = 404, "unknown-run", "There is no such run"


class UnknownCommand(ApiProblem):
    """The run has no command of that number."""

    status, slug, title = 404, "unknown-command", "There is no such command"


class UnknownExperiment(ApiProblem):
    """No run is of such an experiment."""

    status, slug, title = 404, "unknown-experiment", "There is no such experiment"


class UnknownReport(ApiProblem):
    """Nobody has asked for the pages of this experiment yet."""

    status, slug, title = 404, "unknown-report", "The pages were never published"


class UnknownToken(ApiProblem):
    """No good token has that name."""

    status, slug, title = 404, "unknown-token", "There is no such token"

    def __init__(self, name: str) -> None:
        super().__init__(f"No token that is good is called {name!r}; GET /api/v1/tokens has them.")


class TokenNameTaken(ApiProblem):
    """Another token that is good has the name."""

    status, slug, title = 409, "token-name-taken", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"A good token is called {name!r}: revoke it first, or take another name.")


class LastAdmin(ApiProblem):
    """Without this token nobody could make another."""

    status, slug, title = 409, "last-admin", "This is the last admin's token"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is the last good token of an admin, and without it nobody could make "
            "another here. Make one first; or revoke it on the API's own machine: "
            f"python -m control_api tokens revoke {name}"
        )


class TooManyRuns(ApiProblem):
    """A filter means more runs than one request may reach."""

    status, slug, title = 422, "too-many-runs", "The filter means too many runs"
    adds: ClassVar = {"total": int}


class RunDeleted(ApiProblem):
    """The run was there, and has been deleted; lineages still show it."""

    status, slug, title = 410, "run-deleted", "The run has been deleted"
    adds: ClassVar = {"deleted_at": Moment}


class NoWandbKey(ApiProblem):
    """The control API was started without a key for W&B, so it can do nothing there."""

    status, slug, title = 409, "no-wandb-key", "There is no key for W&B"

    def __init__(self, what: str, instead: str = "") -> None:
        super().__init__(
            f"The control API was started without WANDB_API_KEY, so it cannot {what}. Set it and "
            f"start the API again{instead}"
        )


class ReportNotPublished(ApiProblem):
    """The publisher ended without publishing; W&B did not answer, say."""

    status, slug, title = 409, "report-not-published", "The pages could not be published"


class RunNotReady(ApiProblem):
    """The run cannot take this in its present state: it has ended, or not begun."""

    status, slug, title = 409, "run-not-ready", "The run cannot take this now"


class CommandNotWithdrawable(ApiProblem):
    """The command has acted or ended, or is about to act."""

    status, slug, title = 409, "command-not-withdrawable", "The command cannot be withdrawn"
    adds: ClassVar = {"receipt": Receipt | None}


class CheckpointGone(ApiProblem):
    """The checkpoint was deleted between being found and being kept."""

    status, slug, title = 409, "checkpoint-gone", "The checkpoint is no longer there"


class LostPlace(ApiProblem):
    """The trainer is not, or no longer, the one that runs this run."""

    status, title = 409, "Another trainer has this run"
    slug = link.LOST_PLACE.removeprefix("/problems/")


class WrongOffset(ApiProblem):
    """Run log was sent from another place than where the stored part ends."""

    status, title = 409, "The log does not go on there"
    slug = link.WRONG_OFFSET.removeprefix("/problems/")
    adds: ClassVar = {"next_offset": int}


class StaleRevision(ApiProblem):
    """`If-Match` names a revision that is not the present one."""

    status, slug, title = 412, "stale-revision", "The parameters have changed meanwhile"


class InvalidRequest(ApiProblem):
    """A field, a name or a value is not acceptable; `faults` has them all."""

    status, slug, title = 422, "invalid-input", "The request is not acceptable"


class WrongMediaType(ApiProblem):
    """The body is not declared as JSON: browsers can send other types without asking."""

    status, slug, title = 415, "wrong-media-type", "The body must be declared as JSON"


class KeyReused(ApiProblem):
    """An `Idempotency-Key` came with another request before."""

    status, slug, title = 422, "idempotency-key-reused", "The key belongs to another request"


class ConfigurationRefused(ApiProblem):
    """The run was waited for, and its trainer would not take the configuration."""

    status, slug, title = 422, "configuration-refused", "The trainer refused the configuration"
    adds: ClassVar = {"run": RunId}


class RunFailed(ApiProblem):
    """The run was waited for, and failed before its first step."""

    status, slug, title = 409, "run-failed", "The run failed"
    adds: ClassVar = {"run": RunId}


class CommandNotApplied(ApiProblem):
    """The command was waited for, and its receipt does not say `applied`."""

    status, slug, title = 409, "command-not-applied", "The command did not act"
    adds: ClassVar = {"receipt": Receipt}

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(
            f"{_OUTCOMES[receipt.state]}{': ' + receipt.reason if receipt.reason else '.'}",
            faults=receipt.faults,
            receipt=receipt.model_dump(mode="json"),
        )


class TooManyFailedLogins(ApiProblem):
    """So many requests of this address came without a good token that no more are looked at."""

    status, slug, title = 429, "too-many-failed-logins", "Too many requests without a good token"

    def __init__(self, address: str, seconds: int) -> None:
        super().__init__(
            f"Too many requests from {address} came without a good token; good ones are still "
            f"served. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


class DatabaseAway(ApiProblem):
    """Nothing was changed; try again."""

    status, slug, title = 503, "database-away", "The database does not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class NotReady(ApiProblem):
    """Something that requests need is missing; what was looked at is in `checks`."""

    status, slug, title = 503, "not-ready", "The control API is not ready"
    adds: ClassVar = {"checks": list[Check]}


_OUTCOMES = {
    CommandState.REJECTED: "It was not acceptable when its turn came; nothing changed",
    CommandState.FAILED: "It could not be carried out; everything is as it was before",
    CommandState.EXPIRED: "The run ended before it could act",
    CommandState.SUPERSEDED: "The run was reverted before it could act",
    CommandState.CANCELLED: "It was withdrawn",
}
