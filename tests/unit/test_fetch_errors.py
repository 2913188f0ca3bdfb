"""What goes wrong with W&B, in our words; whether it may pass."""

from errno import EACCES, EFBIG, ENOSPC
from types import SimpleNamespace

import pytest
import requests

from midcourse.tracking.arriving import Refused, Troubled
from midcourse.tracking.fetch_errors import in_our_words
from midcourse.tracking.settings import TrackingSettings

SERVER = "https://api.wandb.ai"


class WandbApiFailedError(Exception):
    """As the SDK's: what its service was answered, or that it was not."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.response = None if status is None else SimpleNamespace(http_status=status)


class CommError(Exception):
    """As the SDK's, which keeps what it comes from in an attribute."""

    def __init__(self, message: str, exc: BaseException | None = None) -> None:
        super().__init__(message)
        self.exc = exc


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} for url", response=response)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (http_error(401), Refused, f"{SERVER} refused the API key (401)"),
        (http_error(403), Refused, f"{SERVER} refused the API key (403)"),
        (http_error(404), Refused, f"{SERVER} answered 404: 404 for url"),
        (http_error(408), Troubled, f"{SERVER} answered 408"),
        (http_error(429), Troubled, f"{SERVER} answered 429"),
        (http_error(503), Troubled, f"{SERVER} answered 503"),
        (CommError("no", http_error(502)), Troubled, f"{SERVER} answered 502: no"),
        (WandbApiFailedError("no", 401), Refused, "refused the API key"),
        (WandbApiFailedError("busy"), Troubled, f"{SERVER} did not answer: busy"),
        (WandbApiFailedError("bad", 400), Refused, f"{SERVER} answered 400: bad"),
        (requests.ConnectTimeout("slow"), Troubled, f"{SERVER} did not answer: slow"),
        (requests.ConnectionError("refused"), Troubled, f"{SERVER} did not answer: refused"),
        (TimeoutError("slow"), Troubled, "did not answer"),
        (CommError("artifact 'x' not found", ValueError()), Refused, "artifact 'x' not found"),
        (OSError(ENOSPC, "No space left on device"), Troubled, "the disk is full"),
        (OSError(EFBIG, "File too large"), Refused, "a file of it is longer than W&B says"),
        (OSError(EACCES, "Permission denied"), Refused, "Permission denied"),
        (ValueError("first line\nsecond"), Refused, "first line"),
        (KeyError(), Refused, "KeyError"),
    ],
)
def test_each_is_one_sentence(error: Exception, kind: type[Refused | Troubled], said: str) -> None:
    found = in_our_words(error, TrackingSettings())
    assert type(found) is kind
    assert said in str(found)
    assert "\n" not in str(found)


def test_the_cause_tells_what_the_last_error_does_not() -> None:
    try:
        try:
            raise http_error(500)
        except requests.HTTPError as error:
            raise RuntimeError("could not be loaded") from error
    except RuntimeError as error:
        found = in_our_words(error, TrackingSettings())
    assert isinstance(found, Troubled)
    assert "answered 500: could not be loaded" in str(found)


def test_an_error_of_ours_is_left_as_it_is() -> None:
    ours = Refused("its state.json is no plain file")
    assert in_our_words(ours, TrackingSettings()) is ours
