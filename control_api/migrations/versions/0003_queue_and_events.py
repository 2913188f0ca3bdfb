"""the queue, suspension, notes and tags, archived and deleted runs, events"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def Integer() -> sa.types.TypeEngine[int]:
    """64 bits everywhere."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for column in (
        sa.Column("sweep", sa.String(length=63), nullable=True),
        sa.Column("priority", Integer(), nullable=False, server_default="0"),
        sa.Column("slot", sa.String(length=40), nullable=True),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False, server_default="[]"),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("archived_at", sa.DateTime(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
    ):
        op.add_column("runs", column)
    op.create_index(op.f("ix_runs_slot"), "runs", ["slot"], unique=True)
    op.create_index(op.f("ix_runs_sweep"), "runs", ["sweep"])
    op.create_table(
        "events",
        sa.Column("id", Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=63), nullable=True),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"])
    op.create_index(op.f("ix_events_run_id"), "events", ["run_id"])


def downgrade() -> None:
    op.drop_table("events")
    op.drop_index(op.f("ix_runs_sweep"), table_name="runs")
    op.drop_index(op.f("ix_runs_slot"), table_name="runs")
    # What is suspended has no word in the version before; it goes on there when it can.
    op.execute("UPDATE runs SET status = 'interrupted' WHERE status = 'suspended'")
    op.execute("UPDATE runs SET desired = 'trained' WHERE desired = 'suspended'")
    for column in ("deleted_at", "archived_at", "notes", "tags", "slot", "priority", "sweep"):
        op.drop_column("runs", column)
