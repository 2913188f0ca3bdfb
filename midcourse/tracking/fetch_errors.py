"""What went wrong with W&B, in our words; and whether it may pass."""

from collections.abc import Iterator
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Any, Final

from midcourse.tracking.arriving import Refused, Troubled
from midcourse.tracking.settings import TrackingSettings

_PASSING: Final = frozenset({408, 409, 425, 429})
_NO_ANSWER: Final = frozenset({"ConnectionError", "Timeout", "ChunkedEncodingError"})
"""What `requests` and urllib3 say of a server that is not there, or is gone in the middle."""


def in_our_words(error: BaseException, settings: TrackingSettings) -> Refused | Troubled:
    """An error of the SDK, the disk or ours, as one that is told to people."""
    if isinstance(error, Refused | Troubled):
        return error
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    causes = list(_causes(error))
    for cause in causes:
        if (status := _status(cause)) is not None:
            return _answered(status, said, settings.base_url)
    for cause in causes:
        if _is_no_answer(cause):
            return Troubled(f"{settings.base_url} did not answer: {said}")
        number = cause.errno if isinstance(cause, OSError) else None
        if number == EFBIG:
            return Refused("a file of it is longer than W&B says")
        if number in (ENOSPC, EDQUOT):
            return Troubled(f"the disk is full: {said}")
    return Refused(said)


def _answered(status: int, said: str, server: str) -> Refused | Troubled:
    if status in (401, 403):
        return Refused(f"{server} refused the API key ({status})")
    if status >= 500 or status in _PASSING:
        return Troubled(f"{server} answered {status}: {said}")
    return Refused(f"{server} answered {status}: {said}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it comes from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        inner = getattr(found, "exc", None)  # a CommError's
        found = found.__cause__ or found.__context__ or inner


def _status(error: BaseException) -> int | None:
    """The HTTP status, of an error of `requests` or of the SDK's service."""
    response: Any = getattr(error, "response", None)
    for name in ("status_code", "http_status"):
        status = getattr(response, name, None)
        if isinstance(status, int) and status >= 400:
            return status
    return None


def _is_no_answer(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    from_service = type(error).__name__ == "WandbApiFailedError"
    return (
        from_service
        or isinstance(error, TimeoutError | ConnectionError)
        or bool(names & _NO_ANSWER)
    )
