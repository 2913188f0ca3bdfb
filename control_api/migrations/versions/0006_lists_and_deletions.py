"""an index for lists of runs, what deletions took and left, and requests to many runs"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LISTED = (
    "created_at",
    "id",
    "deleted_at",
    "archived_at",
    "status",
    "experiment",
    "sweep",
    "parent_id",
    "priority",
)


def upgrade() -> None:
    op.add_column("runs", sa.Column("deletion", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("runs", sa.Column("clear_after", sa.DateTime(), nullable=True))
    op.create_index(op.f("ix_runs_clear_after"), "runs", ["clear_after"])
    op.create_index(op.f("ix_runs_listed"), "runs", [*_LISTED])
    op.add_column("idempotency_keys", sa.Column("runs", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("idempotency_keys", "runs")
    op.drop_index(op.f("ix_runs_listed"), table_name="runs")
    op.drop_index(op.f("ix_runs_clear_after"), table_name="runs")
    op.drop_column("runs", "clear_after")
    op.drop_column("runs", "deletion")
