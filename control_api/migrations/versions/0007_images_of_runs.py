"""the container image and the command that a run brings, and the troubles of a reconciler"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("image", sa.String(500), nullable=True))
    op.add_column("runs", sa.Column("command", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("leases", sa.Column("trouble", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("leases", "trouble")
    op.drop_column("runs", "command")
    op.drop_column("runs", "image")
