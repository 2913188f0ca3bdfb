"""tokens with roles that end, an audit of what was refused, too, and failed logins"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def Integer() -> sa.types.TypeEngine[int]:
    """64 bits everywhere; SQLite only counts up by itself in a column of its own INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# Both tables are made anew from a copy: SQLite can change neither a primary key nor what may be
# null. No other table points to them.


def upgrade() -> None:
    _set_aside("tokens")
    op.create_table(
        "tokens",
        sa.Column("id", Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("role", _role("viewer", "operator", "admin"), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
        sqlite_autoincrement=True,
    )
    living = sa.text("ended_at IS NULL")
    op.create_index(
        op.f("ix_tokens_name"),
        "tokens",
        ["name"],
        unique=True,
        sqlite_where=living,
        postgresql_where=living,
    )
    _bring_back("tokens", "name, sha256, role, created_at", order="created_at, name")

    _set_aside("audit")
    op.create_table(
        "audit",
        sa.Column("id", Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("token_id", Integer(), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.Column("method", sa.String(length=20), nullable=True),
        sa.Column("path", sa.String(length=500), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=True),
        sa.Column("run_id", sa.String(length=200), nullable=True),
        sa.Column("seq", Integer(), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "accepted",
                "refused",
                "failed-login",
                name="outcome",
                native_enum=False,
                length=20,
            ),
            nullable=False,
            server_default="accepted",
        ),
        sa.Column("status", Integer(), nullable=True),
        sa.Column("problem", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    _bring_back("audit", "id, at, actor, address, request_id, action, run_id, seq")
    for column in ("actor", "request_id", "run_id"):
        op.create_index(op.f(f"ix_audit_{column}"), "audit", [column])

    op.create_table(
        "login_failures",
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("count", Integer(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_login_failures")),
    )
    op.create_index(op.f("ix_login_failures_since"), "login_failures", ["since"])


def downgrade() -> None:
    op.drop_table("login_failures")

    _set_aside("audit")
    op.create_table(
        "audit",
        sa.Column("id", Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=63), nullable=True),
        sa.Column("seq", Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id", "seq"],
            ["commands.run_id", "commands.seq"],
            name=op.f("fk_audit_run_id_seq"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_audit_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    # The version before knows accepted requests for runs alone.
    _bring_back(
        "audit",
        "id, at, actor, address, request_id, action, run_id, seq",
        where="outcome = 'accepted' AND actor IS NOT NULL AND action IS NOT NULL"
        " AND run_id IN (SELECT id FROM runs)",
    )
    op.create_index(op.f("ix_audit_run_id"), "audit", ["run_id"])

    _set_aside("tokens")
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("role", _role("admin"), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    # To the version before, every token is an admin's for ever: no others may go back.
    _bring_back(
        "tokens",
        "name, sha256, role, created_at",
        where="role = 'admin' AND ended_at IS NULL AND expires_at IS NULL",
    )


def _role(*names: str) -> sa.Enum:
    return sa.Enum(*names, name="role", native_enum=False, length=20)


def _set_aside(table: str) -> None:
    op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
    op.drop_table(table)


def _bring_back(table: str, columns: str, order: str = "1", where: str = "TRUE") -> None:
    op.execute(
        f"INSERT INTO {table} ({columns}) "
        f"SELECT {columns} FROM {table}_before WHERE {where} ORDER BY {order}"
    )
    op.drop_table(f"{table}_before")
    if op.get_bind().dialect.name == "postgresql" and columns.startswith("id,"):
        op.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
            f"(SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
        )
