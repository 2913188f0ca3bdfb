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
    op.drop_table("fetches")
    op.drop_column("runs", "source")
