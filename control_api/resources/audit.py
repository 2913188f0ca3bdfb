"""`/audit`: who asked for what, and what became of it; for admins."""

from flask import Response

from control_api.answers import NDJSON, Gives
from control_api.audit import each_line, page_of_audit
from control_api.context import context
from control_api.http import answer
from control_api.resource import Resource
from midcourse.contract.api.audit import AuditAnswer, AuditEntry, AuditFilter, AuditQuery
from midcourse.contract.roles import Role

resource = Resource("audit", "Who asked for what.", prefix="/audit")


@resource.get("", Gives(AuditAnswer), role=Role.ADMIN)
def list_audit(query: AuditQuery) -> Response:
    """Requests that would have changed something, and failed logins, the newest first."""
    with context().database.reading() as session:
        return answer(page_of_audit(session, query))


@resource.get("/download", Gives(AuditEntry, media=NDJSON), role=Role.ADMIN)
def download_audit(query: AuditFilter) -> Response:
    """The whole of it, the oldest first, one JSON object a line."""
    lines = each_line(context().database, query)
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return Response(lines, content_type=NDJSON, headers=headers)
