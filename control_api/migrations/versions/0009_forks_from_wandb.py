"""where in W&B a run comes from, and checkpoints that could not be fetched from there yet"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("source", sa.String(500), nullable=True))
    op.create_table(
        "fetches",
        sa.Column("source", sa.String(500), nullable=False),
        sa.Column(
            "tries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_fetches")),
    )


def downgrade() -> None:
    # What came of W&B, in words that an earlier version knows: it would refuse `imported`, and
    # would train a fork that waits from its beginning, with a patch for its configuration.
    op.execute(
        "UPDATE runs SET status = 'stopped', ended_at = COALESCE(ended_at, created_at) "
        "WHERE status = 'imported'"
    )
    op.execute(
        "UPDATE runs SET status = 'failed', ended_at = created_at, error = 'It waited for its "
        "checkpoint from W&B, of which this version knows nothing.' WHERE status = 'queued' "
        "AND source IS NOT NULL AND parent_checkpoint IS NULL"
    )
    op.drop_table("fetches")
    op.drop_column("runs", "source")
