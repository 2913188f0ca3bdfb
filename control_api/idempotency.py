"""`Idempotency-Key`: a request that is sent twice makes one thing."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace

from flask import request
from sqlalchemy.exc import IntegrityError

from control_api.asking import Key, Made, Requester
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
    key = _read_key()
    if key is None:
        return make(requester())
    by = replace(requester(), key=key)
    if made := _find(by, key):
        return made
    try:
        return make(by)
    except IntegrityError:
        # The same key at the same time; if it is something else, it is no business of ours.
        if made := _find(by, key):
            return made
        raise


def _read_key() -> Key | None:
    """The key, with or without the quotation marks that structured headers have (RFC 8941)."""
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
    return Key(found[1], _fingerprint())


def _fingerprint() -> str:
    """The request without what may differ in a retry: the headers, and how JSON is written."""
    parts = [request.method, request.path, sorted(request.args.items()), read_json()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _find(by: Requester, key: Key) -> Made | None:
    with context().database.reading() as session:
        row = session.get(KeyRow, (by.actor, key.text))
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        raise KeyReused(
            f"The key {key.text!r} came with another request before. A key is for one request and "
            "its retries; take a fresh one."
        )
    return Made(row.run_id, row.seq, repeated=True)
