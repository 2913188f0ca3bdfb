"""Requests to the control API: with a token, tried again where that is safe, problems raised."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
from pydantic import ValidationError
from requests.auth import AuthBase

from midcourse.client.credentials import Credentials
from midcourse.client.errors import NotReachable, Troubled, refused
from midcourse.contract.api.values import MAX_WAIT_SECONDS
from midcourse.contract.base import Record, strict_json_loads
from midcourse.contract.errors import Fault, Problem
from midcourse.version import __version__

R = TypeVar("R", bound=Record)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""For an answer, beside the time that the request itself asks the API to wait."""
QUIET_SECONDS = 90.0
"""How long a stream may say nothing, not even that it is alive, before it is taken up again."""
FIRST_PAUSE = 0.25
"""Before the second try; doubles with each further one."""
_WORTH_ANOTHER_TRY = (502, 503, 504)
_TROUBLE = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Bearer(AuthBase):
    """As an auth object, so that no ~/.netrc puts another one in its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Transport:
    """What all verbs of the client send through."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        retries: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; the first request connects.

        Args:
            credentials: where the API is, and its token.
            retries: how many times a request is sent again after trouble on the way, or a 502,
                503 or 504. What makes something carries an `Idempotency-Key`, so that it makes
                one thing however often it is sent.
            sleep: what to wait with.
        """
        self.url = credentials.url
        self.credentials = credentials
        self._retries = retries
        self._sleep = sleep
        self._session = requests.Session()
        # No proxy has a say on the loopback.
        self._session.trust_env = urlsplit(self.url).hostname not in _LOOPBACK
        self._session.auth = _Bearer(credentials.token)
        self._session.headers["User-Agent"] = f"midcourse/{__version__}"

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def get(self, model: type[R], path: str, query: Mapping[str, Any] | None = None) -> R:
        """GET, as a model.

        Raises:
            Refused: with what the API said.
            NotReachable: nothing answers.
        """
        return read(model, self.send("GET", path, query=query))

    def ask(
        self,
        method: str,
        model: type[R],
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        wait: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> R:
        """Ask for something to be made or changed, once; raises as `get` does.

        Args:
            method: `POST`, `PATCH` or `DELETE`.
            model: of the answer.
            path: below `/api/v1`.
            query: names and values; those that are None are left out.
            body: sent as JSON.
            wait: so many seconds the API may hold the answer back until it is known what came
                of the request; it honours 60 at most.
            headers: more of them.
        """
        answer = self.send(method, path, query=query, body=body, wait=wait, headers=headers)
        return read(model, answer)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        wait: float | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> requests.Response:
        """The answer to a request, if it is a success; raises as `get` does.

        With `silence` its body is left to be read as it comes, and may be silent for so long.
        """
        sent = dict(headers or {})
        if method != "GET":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        seconds = min(int(wait), MAX_WAIT_SECONDS) if wait else 0
        if seconds:
            sent["Prefer"] = f"wait={seconds}"
        address = f"{self.url}{path}" if path[1:] in _OUTSIDE else f"{self.url}/api/v1{path}"
        options: dict[str, Any] = {
            "params": {name: _said(value) for name, value in (query or {}).items()},
            "headers": sent,
            "timeout": (CONNECT_SECONDS, silence or ANSWER_SECONDS + seconds),
            "allow_redirects": False,  # a POST would become a GET
            "stream": silence is not None,
        }
        if body is not None:
            options["json"] = body
        for tried in range(self._retries + 1):
            last = tried == self._retries
            try:
                answer = self._session.request(method, address, **options)
            except _TROUBLE as error:
                if last:
                    raise NotReachable(self._silence(error)) from None
            except (requests.RequestException, ValueError) as error:
                raise NotReachable(f"{address} cannot be asked: {error}") from None
            else:
                if answer.status_code not in _WORTH_ANOTHER_TRY or last:
                    return self._checked(answer)
                answer.close()
            self._sleep(FIRST_PAUSE * 2**tried)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def streaming(
        self,
        path: str,
        query: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        """A GET whose body is read as it comes; it may be silent for a while."""
        answer = self.send("GET", path, query=query, headers=headers, silence=QUIET_SECONDS)
        try:
            yield answer
        finally:
            answer.close()

    def _checked(self, answer: requests.Response) -> requests.Response:
        if answer.status_code in range(200, 300):
            return answer
        if answer.is_redirect:
            target = answer.headers.get("Location", "elsewhere")
            raise NotReachable(f"{self.url} answers with a redirect to {target}: use that address.")
        problem, extensions = self._problem(answer)
        raise refused(problem, extensions)

    def _problem(self, answer: requests.Response) -> tuple[Problem, dict[str, Any]]:
        """The problem in an error answer; where a proxy answered, what can be said of it."""
        try:
            body = strict_json_loads(answer.content)
            faults = [Fault.model_validate(fault) for fault in body.pop("faults", [])]
            known = {key: body.pop(key) for key in Problem.model_fields if key in body}
            return Problem.model_validate({**known, "faults": faults}), body
        except (ValueError, AttributeError, TypeError, requests.RequestException):
            pass
        what = f"{answer.status_code} {answer.reason}"
        said = f"{self.url} answers {what}, and not as Midcourse's control API does."
        return Problem(title=answer.reason or what, status=answer.status_code, detail=said), {}

    def _silence(self, error: Exception) -> str:
        reason = "took too long to answer" if isinstance(error, requests.Timeout) else "is silent"
        return (
            f"{self.url} {reason}: is the control API running there? `midcourse up` starts one, "
            "--url and MIDCOURSE_API_URL name another, `midcourse doctor` looks further."
        )


_OUTSIDE = ("healthz", "readyz", "metrics")
"""Addresses that stand outside of the API's version."""


def read(model: type[R], answer: requests.Response) -> R:
    """The body of an answer as a model. What a later API says beside it is passed over.

    Raises:
        NotReachable: what answered is no control API, or one of another kind.
        Troubled: the answer broke off.
    """
    try:
        return model.model_validate(
            strict_json_loads(answer.content), extra="ignore", by_alias=True, by_name=True
        )
    except requests.RequestException as error:
        problem = Problem(title="The answer broke off", status=answer.status_code)
        raise Troubled(problem, {"error": str(error)}) from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise NotReachable(
            f"{answer.url.partition('?')[0]} answered something else than this client "
            f"({__version__}) knows ({where}); `midcourse doctor` compares the versions."
        ) from None
    except ValueError:
        raise NotReachable(
            f"{answer.url.partition('?')[0]} does not answer in JSON: no control API is there."
        ) from None


def segment(text: str) -> str:
    """A piece of an address."""
    return quote(text, safe="")


def _said(value: Any) -> Any:
    """A value as queries say it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value)) or None
    return value
