"""A minimal client of the control API."""

from typing import Any

import requests

from midcourse.contract.base import strict_json_loads
from midcourse.contract.errors import Fault, MidcourseError, Problem

SECONDS = 90.0
"""Longer than any wait that the API honours."""


class Refused(MidcourseError):
    """The control API did not accept a request; the text is what it said."""


class Troubled(Refused):
    """The control API had trouble of its own (5xx); the same request may pass later."""


class Client:
    """Sends requests with a token and returns their JSON."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no ~/.netrc, has a say on the loopback
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Any:
        """GET below `/api/v1`.

        Raises:
            Refused: with the API's own words.
            requests.RequestException: it cannot be reached.
        """
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        """POST JSON below `/api/v1`; raises as `get` does."""
        return self._send("POST", path, json=body)

    def _send(self, method: str, path: str, **options: Any) -> Any:
        response = self._session.request(
            method, f"{self.url}/api/v1{path}", timeout=SECONDS, **options
        )
        body = strict_json_loads(response.content)
        if response.ok:
            return body
        problem = Problem.model_validate(
            {key: body[key] for key in Problem.model_fields if key in body}
            | {"faults": [Fault.model_validate(fault) for fault in body.get("faults", [])]}
        )
        faults = "".join(f"\n  {fault}" for fault in problem.faults)
        kind = Troubled if response.status_code >= 500 else Refused
        raise kind(f"{problem.detail or problem.title}{faults}")
