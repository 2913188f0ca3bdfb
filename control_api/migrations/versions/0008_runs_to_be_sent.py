"""what the sync job knows of runs that are not all in W&B"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sync",
        sa.Column("run_id", sa.String(63), nullable=False),
        sa.Column(
            "tries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(), nullable=True),
        sa.Column("began_at", sa.DateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_sync_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_sync")),
    )


def downgrade() -> None:
    op.drop_table("sync")
