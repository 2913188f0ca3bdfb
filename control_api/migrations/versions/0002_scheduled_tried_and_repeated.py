"""scheduled commands, dry runs, replays, edited models, idempotency keys"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def Integer() -> sa.types.TypeEngine[int]:
    """64 bits everywhere."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# No batch here: it makes a table anew and drops the old one, which foreign keys would not survive.


def upgrade() -> None:
    op.add_column("commands", sa.Column("at", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "commands", sa.Column("dry_run", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("runs", sa.Column("checkpoint_run", sa.String(length=63), nullable=True))
    op.add_column("runs", sa.Column("replay", sa.String(length=63), nullable=True))
    op.add_column(
        "runs", sa.Column("warm_start", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=63), nullable=False),
        sa.Column("seq", Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_idempotency_keys_run_id")),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    for column in ("warm_start", "replay", "checkpoint_run"):
        op.drop_column("runs", column)
    for column in ("dry_run", "at"):
        op.drop_column("commands", column)
