"""`Idempotency-Key`: a request that is sent twice makes one thing."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import request
from sqlalchemy.exc import IntegrityError

from control_api.asking import Key, Made, Requester, keep_key
from control_api.context import context, requester
from control_api.http import read_json
from control_api.problems import KeyReused
from control_api.tables import KeyRow
from midcourse.contract.api.values import MAX_KEY_LENGTH
from midcourse.contract.errors import Fault, InvalidInput

HEADER = "Idempotency-Key"
_PATTERN = rf"[\x21\x23-\x5b\x5d-\x7e]{{1,{MAX_KEY_LENGTH}}}"


def make_once(make: Callable[[Requester], Made]) -> Made:
    """What `make` makes in its transaction or, if the request is a repeated one, what it made.

    Args:
        make: has the requester in whose name `asking.record` keeps the key.

    Raises:
        InvalidInput: the key is malformed.
        KeyReused: the key was sent with another request.
    """
    return once(replace(requester(), key=_read_key()), make)


def once(by: Requester, make: Callable[[Requester], Made]) -> Made:
    """The same for a requester whose key is known.

    Raises:
        KeyReused: the key came with another request.
    """
    if by.key is None:
        return make(by)
    if made := _find(by, by.key):
        return made
    try:
        return make(by)
    except IntegrityError:
        # The same key at the same time; if it is something else, it is no business of ours.
        if made := _find(by, by.key):
            return made
        raise


@dataclass(frozen=True)
class Reached:
    """The runs that a request to many reaches, as they were found when its key first came."""

    runs: list[str]
    asker: Requester
    repeated: bool = False

    def by(self, run_id: str) -> Requester:
        """Who asks it of one run: with a key of its own, made of the request's."""
        if self.asker.key is None:
            return self.asker
        text = hashlib.sha256(f"{self.asker.key.text}\n{run_id}".encode()).hexdigest()
        return replace(self.asker, key=replace(self.asker.key, text=text))

    def headers(self, wait: int) -> dict[str, str]:
        """Of the answer."""
        waited = {"Preference-Applied": f"wait={wait}"} if wait else {}
        return waited | repeated_header(repeated=self.repeated)


def runs_once(find: Callable[[], list[str]]) -> Reached:
    """The runs that `find` finds or, if the request is a repeated one, those that it found.

    So a repeated request goes on with what a first one did not come to do, and reaches no others.

    Raises:
        InvalidInput: the key is malformed.
        KeyReused: the key was sent with another request.
    """
    by = replace(requester(), key=_read_key())
    if by.key is None:
        return Reached(find(), by)
    if (row := _find_row(by, by.key)) is None:
        if not (runs := find()):
            return Reached([], by)
        try:
            with context().database.writing() as session:
                keep_key(session, by.actor, by.key, runs[0], runs=runs)
            return Reached(runs, by)
        except IntegrityError:
            if (row := _find_row(by, by.key)) is None:
                raise
    return Reached(list(row.runs or []), by, repeated=True)


def repeated_header(*, repeated: bool) -> dict[str, str]:
    """What tells of an answer that an earlier request made what it shows."""
    return {"Idempotency-Replayed": "true"} if repeated else {}


def _read_key() -> Key | None:
    said = key_said()
    return None if said is None else Key(said, _fingerprint())


def key_said() -> str | None:
    """The key, with or without the quotation marks that structured headers have (RFC 8941).

    Raises:
        InvalidInput: it is malformed.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return None
    text = text.strip()
    found = re.fullmatch(f'"({_PATTERN})"', text) or re.fullmatch(f"({_PATTERN})", text)
    if found is None:
        message = (
            f"must be 1 to {MAX_KEY_LENGTH} visible ASCII characters without spaces, quotation "
            "marks and backslashes, such as a UUID"
        )
        raise InvalidInput([Fault(path=HEADER, message=message)])
    return found[1]


def _fingerprint() -> str:
    """The request without what may differ in a retry: the headers, and how JSON is written."""
    parts = [request.method, request.path, sorted(request.args.items()), read_json()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _find(by: Requester, key: Key) -> Made | None:
    row = _find_row(by, key)
    return None if row is None else Made(row.run_id, row.seq, repeated=True)


def _find_row(by: Requester, key: Key) -> KeyRow | None:
    with context().database.reading() as session:
        row = session.get(KeyRow, (by.actor, key.text))
    if row is not None and row.fingerprint != key.fingerprint:
        raise KeyReused(
            f"The key {key.text!r} came with another request before. A key is for one request and "
            "its retries; take a fresh one."
        )
    return row
