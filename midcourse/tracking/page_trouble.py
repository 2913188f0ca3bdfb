"""What the SDK's public API raises, told in the words of the contract."""

import re
from collections.abc import Iterator

from midcourse.contract.pages import PageTrouble, TroubleKind
from midcourse.errors import MidcourseError
from midcourse.tracking.settings import TrackingSettings

_LONGEST = 300
_STATUS = re.compile(r"\bHTTP (\d{3})\b")
_GRAPHQL = "input:"
"""How the SDK's service begins what GraphQL says is wrong."""
_KINDS = {
    401: TroubleKind.KEY_REFUSED,
    403: TroubleKind.REFUSED,
    404: TroubleKind.REFUSED,
    429: TroubleKind.TOO_MANY_REQUESTS,
}


class NoKey(MidcourseError):
    """There is no API key."""


class NoPage(MidcourseError):
    """The run has no page that we can see."""


def trouble_of(error: Exception, settings: TrackingSettings) -> PageTrouble:
    """An error of the SDK as an answer, without the key."""
    said = str(error).strip().splitlines()
    text = settings.redact(" ".join(said) or type(error).__name__)
    return PageTrouble(why=_kind(error), text=text[:_LONGEST])


def _kind(error: Exception) -> TroubleKind:
    if isinstance(error, NoKey):
        return TroubleKind.KEY_REFUSED
    status = _status(error)
    if status is not None:
        return _KINDS.get(status, TroubleKind.AWAY)
    no_project = isinstance(error, ValueError) and "Could not find project" in str(error)
    if no_project or isinstance(error, NoPage) or _was_answered(error):
        return TroubleKind.REFUSED
    return TroubleKind.AWAY


def _was_answered(error: Exception) -> bool:
    """Whether the server itself said no: GraphQL's own errors come without a status."""
    return any(_response(one) and str(one).startswith(_GRAPHQL) for one in _chain(error))


def _status(error: Exception) -> int | None:
    """The HTTP status behind an error, where there was one and it was no success."""
    for one in _chain(error):
        status = getattr(_response(one), "http_status", 0)
        told = _STATUS.search(str(one))  # where the SDK tried more than once it is only in the text
        if status >= 400:
            return int(status)
        if told is not None:
            return int(told[1])
    return None


def _response(error: BaseException) -> object:
    return getattr(error, "response", None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__
