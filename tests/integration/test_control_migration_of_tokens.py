"""Tokens and audit outlive the migration and, as far as they may, its undoing."""

from datetime import timedelta

import pytest
from databases import database_url
from sqlalchemy import text

from control_api.asking import Requester, note
from control_api.database import Database
from control_api.tables import AuditRow, TokenRow
from control_api.tokens import caller_of, make_token, revoke_token, sha256
from midcourse.contract.api.audit import Outcome
from midcourse.contract.api.tokens import MakeToken
from midcourse.contract.base import utc_now
from midcourse.contract.roles import Role

BEFORE = f"""
INSERT INTO tokens (name, sha256, role, created_at) VALUES
('admin', '{sha256("mc_old")}', 'admin', '2026-01-01 00:00:00');
INSERT INTO runs (id, experiment, config, desired, status, created_by, created_at, changes, reverts,
pinned, last_seq, live_values, revision, latest, summary, attempt, log_offset) VALUES
('ra', 'e', '{{}}', 'trained', 'running', 'admin', '2026-01-01 00:00:00', '{{}}', false, false, 1,
'{{}}', 1, '{{}}', '{{}}', 1, 10);
INSERT INTO commands (run_id, seq, action, actor, accepted_at, state) VALUES
('ra', 1, '{{"kind": "pause"}}', 'admin', '2026-01-01 00:00:00', 'applied');
INSERT INTO audit (id, at, actor, address, request_id, action, run_id, seq) VALUES
(3, '2026-01-01 00:00:00', 'admin', '127.0.0.1', 'abc', 'submit', 'ra', NULL),
(7, '2026-01-01 00:00:01', 'admin', NULL, NULL, 'pause', 'ra', 1)
"""


@pytest.fixture
def database(tmp_path):
    """As the version before left it."""
    database = Database(database_url(tmp_path))
    database.undo_migrations()
    database.migrate("0004")
    with database.engine.execution_options(writes=True).begin() as connection:
        for statement in BEFORE.split(";\n"):
            connection.exec_driver_sql(statement)
    yield database
    database.close()


def test_up_keeps_tokens_and_lines_and_goes_on_counting(database):
    database.migrate()
    with database.reading() as session:
        old = caller_of(session, "mc_old")
        assert (old.name, old.role, old.expires_at) == ("admin", Role.ADMIN, None)
        submitted, paused = session.query(AuditRow).order_by(AuditRow.id).all()
    assert (submitted.id, submitted.action, submitted.run_id, submitted.seq) == (
        3,
        "submit",
        "ra",
        None,
    )
    assert (paused.id, paused.seq, paused.outcome, paused.method) == (7, 1, "accepted", None)
    with database.writing() as session:
        note(session, Requester("admin"), "stop", run_id="ra", seq=2)
        row, token = make_token(
            session, MakeToken(name="ada", role=Role.VIEWER), "admin", utc_now()
        )
    with database.reading() as session:
        assert [row.id for row in session.query(AuditRow).order_by(AuditRow.id)] == [3, 7, 8]
        assert caller_of(session, token).token_id == row.id > old.token_id


def test_down_leaves_only_what_the_version_before_would_understand(database):
    """It knows no roles and no ends: whoever was less than an admin must not become one."""
    database.migrate()
    now = utc_now()
    with database.writing() as session:
        for name, role, days in [
            ("second", Role.ADMIN, None),
            ("third", Role.ADMIN, 7),
            ("fourth", Role.ADMIN, None),
            ("viewer", Role.VIEWER, None),
        ]:
            wanted = MakeToken(name=name, role=role, expires_in_days=days)
            make_token(session, wanted, "admin", now - timedelta(days=1))
        revoke_token(session, "fourth", "admin", now)
        note(session, Requester("viewer"), "stop", run_id="ra", outcome=Outcome.REFUSED)
        note(session, Requester("admin"), "make_token", subject="viewer")
        note(session, Requester(""), None, outcome=Outcome.FAILED_LOGIN)
        note(session, Requester("second"), "stop", run_id="ra")
    database.undo_migrations("0004")
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT name, role FROM tokens ORDER BY name")).all()
        audited = connection.execute(text("SELECT id, actor, action FROM audit ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [("admin", "admin"), ("second", "admin")]
    assert [tuple(row)[1:] for row in audited] == [
        ("admin", "submit"),
        ("admin", "pause"),
        ("second", "stop"),
    ]
    database.migrate()
    with database.reading() as session:
        assert caller_of(session, "mc_old").name == "admin"
        assert session.query(TokenRow).count() == 2
