"""tags by which people command runs on their pages in W&B, and when a lease's work was done"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OPEN = sa.text("closed_at IS NULL")


def upgrade() -> None:
    integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "page_tags",
        sa.Column("run_id", sa.String(63), nullable=False),
        sa.Column("number", integer, autoincrement=False, nullable=False),
        sa.Column("tag", sa.String(256), nullable=False),
        sa.Column("entity", sa.String(200), nullable=False),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("seq", integer, nullable=True),
        sa.Column("child", sa.String(63), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.Column("shown_at", sa.DateTime(), nullable=True),
        sa.Column("came_back", sa.Boolean(), nullable=False),
        sa.Column("closed_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_page_tags_run_id")),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_page_tags")),
    )
    op.create_index(
        "ix_page_tags_open",
        "page_tags",
        ["run_id", "tag"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.add_column("leases", sa.Column("worked_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("leases", "worked_at")
    op.drop_index("ix_page_tags_open", table_name="page_tags")
    op.drop_table("page_tags")
