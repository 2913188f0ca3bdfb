"""`GET /whoami`: whose token it is, and what it may do."""

from flask import Response

from control_api.answers import Gives
from control_api.guard import caller
from control_api.http import answer
from control_api.resource import Resource
from midcourse.contract.api.tokens import WhoAmI

resource = Resource("whoami", "Whose token it is.")


@resource.get("/whoami", Gives(WhoAmI))
def whoami() -> Response:
    """The name and role of the token that came with the request, and when it expires."""
    known = caller()
    assert known.role is not None
    return answer(WhoAmI(name=known.name, role=known.role, expires_at=known.expires_at))
