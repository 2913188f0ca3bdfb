"""metric store: many numbers in few rows"""

import json
import math
import struct
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHUNK = 4096


def Integer() -> sa.types.TypeEngine[int]:
    """64 bits everywhere."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "metric_batches",
        sa.Column("run_id", sa.String(length=63), nullable=False),
        sa.Column("log_offset", Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_metric_batches_run_id")),
        sa.PrimaryKeyConstraint("run_id", "log_offset", name=op.f("pk_metric_batches")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_chunks",
        sa.Column("run_id", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("first_step", Integer(), autoincrement=False, nullable=False),
        sa.Column("last_step", Integer(), nullable=False),
        sa.Column("points", Integer(), nullable=False),
        sa.Column("steps", sa.LargeBinary(), nullable=True),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_metric_chunks_run_id")),
        sa.PrimaryKeyConstraint("run_id", "key", "first_step", name=op.f("pk_metric_chunks")),
    )
    for run_id, key in _metrics_of("metrics"):
        for steps, values in _old_points(run_id, key):
            op.get_bind().execute(
                sa.text(
                    'INSERT INTO metric_chunks (run_id, "key", first_step, last_step, points, '
                    'steps, "values") VALUES (:run, :key, :first, :last, :points, :steps, :values)'
                ),
                {
                    "run": run_id,
                    "key": key,
                    "first": steps[0],
                    "last": steps[-1],
                    "points": len(steps),
                    "steps": None if _evenly_apart(steps) else struct.pack(f"<{len(steps)}q", *steps),
                    "values": struct.pack(f"<{len(values)}d", *values),
                },
            )
    op.drop_table("metrics")


def downgrade() -> None:
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("step", Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_metrics_run_id")),
        sa.PrimaryKeyConstraint("run_id", "key", "step", name=op.f("pk_metrics")),
        sqlite_with_rowid=False,
    )
    # The chunks first, then the batches as they came: the first value of a step is the one kept.
    for run_id, key in _metrics_of("metric_chunks"):
        for steps, values in _chunks(run_id, key):
            _insert_old(run_id, key, steps, values)
    for run_id, data in _batches():
        for key, (steps, values) in json.loads(data).items():
            _insert_old(run_id, key, steps, values)
    op.drop_table("metric_chunks")
    op.drop_table("metric_batches")


def _metrics_of(table: str) -> list[tuple[str, str]]:
    return [
        (run_id, key)
        for run_id, key in op.get_bind().execute(sa.text(f'SELECT DISTINCT run_id, "key" FROM {table}'))
    ]


def _old_points(run_id: str, key: str) -> Iterator[tuple[list[int], list[float]]]:
    """The points of a metric, a chunk at a time; a null was NaN."""
    last = -1
    while True:
        rows = (
            op.get_bind()
            .execute(
                sa.text(
                    'SELECT step, value FROM metrics WHERE run_id = :run AND "key" = :key AND '
                    "step > :last ORDER BY step LIMIT :chunk"
                ),
                {"run": run_id, "key": key, "last": last, "chunk": CHUNK},
            )
            .all()
        )
        if not rows:
            return
        last = rows[-1][0]
        yield (
            [step for step, _ in rows],
            [math.nan if value is None else value for _, value in rows],
        )


def _evenly_apart(steps: list[int]) -> bool:
    return len(steps) < 3 or len({after - before for before, after in zip(steps, steps[1:])}) == 1


def _chunks(run_id: str, key: str) -> Iterator[tuple[list[int], list[float]]]:
    last = -1
    while True:
        row = op.get_bind().execute(
            sa.text(
                'SELECT first_step, last_step, points, steps, "values" FROM metric_chunks WHERE '
                'run_id = :run AND "key" = :key AND first_step > :last ORDER BY first_step LIMIT 1'
            ),
            {"run": run_id, "key": key, "last": last},
        ).one_or_none()
        if row is None:
            return
        last, last_step, points, steps, values = row
        if steps is not None:
            unpacked = list(struct.unpack(f"<{points}q", bytes(steps)))
        elif points == 1:
            unpacked = [last]
        else:
            unpacked = list(range(last, last_step + 1, (last_step - last) // (points - 1)))
        yield unpacked, list(struct.unpack(f"<{points}d", bytes(values)))


def _batches() -> Iterator[tuple[str, str]]:
    """Run and data, in the order of the log."""
    run, offset = "", -1
    while True:
        row = op.get_bind().execute(
            sa.text(
                "SELECT run_id, log_offset, data FROM metric_batches WHERE run_id > :run OR "
                "(run_id = :run AND log_offset > :last) ORDER BY run_id, log_offset LIMIT 1"
            ),
            {"run": run, "last": offset},
        ).one_or_none()
        if row is None:
            return
        run, offset, data = row
        yield run, data


def _insert_old(run_id: str, key: str, steps: list[int], values: list[float]) -> None:
    op.get_bind().execute(
        sa.text(
            'INSERT INTO metrics (run_id, "key", step, value) VALUES (:run, :key, :step, :value) '
            "ON CONFLICT DO NOTHING"
        ),
        [
            {"run": run_id, "key": key, "step": step, "value": None if math.isnan(value) else value}
            for step, value in zip(steps, values)
        ],
    )
