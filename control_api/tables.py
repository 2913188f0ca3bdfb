"""The database's tables. What is commanded and what was observed is here, and nowhere else.

Migrations (`control_api/migrations`) make them; a test holds the two to each other.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus


class Moment(TypeDecorator[datetime]):
    """An aware time, kept in UTC: SQLite would forget the zone."""

    impl = SqlDateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.replace(tzinfo=UTC)


def _names_of(kind: type[StrEnum], length: int) -> Enum:
    return Enum(
        kind,
        native_enum=False,
        length=length,
        create_constraint=False,
        values_callable=lambda members: [member.value for member in members],
    )


class Desired(StrEnum):
    """What people want of a run; the reconciler sees to it."""

    TRAINED = "trained"
    """To its end."""
    STOPPED = "stopped"
    """Not (further): a run that has not begun must not begin."""


class Role(StrEnum):
    """What a token may do."""

    ADMIN = "admin"
    """Everything, but what belongs to trainers."""


class Base(DeclarativeBase):
    """The base of all rows."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's way)
        datetime: Moment(),
        int: BigInteger().with_variant(Integer(), "sqlite"),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        RunStatus: _names_of(RunStatus, 20),
        CommandState: _names_of(CommandState, 20),
        Desired: _names_of(Desired, 20),
        Role: _names_of(Role, 20),
    }


_RunId = String(63)


class RunRow(Base):
    """A run: what is wanted of it, and what was last seen of it."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(_RunId, primary_key=True)
    experiment: Mapped[str] = mapped_column(String(63), index=True)
    name: Mapped[str | None] = mapped_column(String(200))
    config: Mapped[dict[str, Any]]
    desired: Mapped[Desired] = mapped_column(default=Desired.TRAINED)
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.QUEUED, index=True)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]

    parent_id: Mapped[str | None] = mapped_column(_RunId, ForeignKey("runs.id"), index=True)
    parent_checkpoint: Mapped[str | None] = mapped_column(String(40))
    parent_seq: Mapped[int | None]
    """The parent's command that this run comes from: its checkpoint (a fork from now), or its
    revert."""
    changes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reverts: Mapped[bool] = mapped_column(default=False)
    """It takes its parent's place and process; until then it is queued, with attempt 0."""
    pinned: Mapped[bool] = mapped_column(default=False)
    """A pin of its name lies in the parent's checkpoint, which is therefore kept."""

    last_seq: Mapped[int] = mapped_column(default=0)
    declared: Mapped[list[Any] | None]
    """The live parameters that its trainer declared; null until it has."""
    live_values: Mapped[dict[str, Any]] = mapped_column(default=dict)
    revision: Mapped[int] = mapped_column(default=0)

    step: Mapped[int | None]
    epoch: Mapped[int | None]
    total_steps: Mapped[int | None]
    steps_per_second: Mapped[float | None]
    latest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Metric name → [step, value], so that a list of runs needs no look at the metrics."""
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tracking: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    notice: Mapped[str | None] = mapped_column(Text)

    attempt: Mapped[int] = mapped_column(default=0)
    log_offset: Mapped[int] = mapped_column(default=0)
    heartbeat_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CommandRow(Base):
    """A command and its receipt. The number is unique in its run: the primary key sees to it."""

    __tablename__ = "commands"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    action: Mapped[dict[str, Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    accepted_at: Mapped[datetime]
    state: Mapped[CommandState] = mapped_column(default=CommandState.ACCEPTED)
    delivered_at: Mapped[datetime | None]
    receipt: Mapped[dict[str, Any] | None]


class AttemptRow(Base):
    """One start of a run's trainer."""

    __tablename__ = "attempts"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    launcher: Mapped[str] = mapped_column(String(40))
    handle: Mapped[dict[str, Any] | None]
    """How the launcher knows it again; null between the intent to start and the start."""
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    exit_code: Mapped[int | None]
    step: Mapped[int | None]
    """The last step completed when it ended."""
    reason: Mapped[str | None] = mapped_column(Text)
    """How it ended."""
    paused: Mapped[bool] = mapped_column(default=False)
    """Whether its run was paused when it ended: then it could get no further."""


class CheckpointRow(Base):
    """A checkpoint that a trainer has written."""

    __tablename__ = "checkpoints"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    step: Mapped[int]
    best: Mapped[bool]
    record: Mapped[dict[str, Any]]
    deleted_at: Mapped[datetime | None]


class MetricRow(Base):
    """One number of one step."""

    __tablename__ = "metrics"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy's way)

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[float | None] = mapped_column(Float(53))
    """Null is NaN: SQLite has no other word for it."""


class MediaRow(Base):
    """A picture or table of one step."""

    __tablename__ = "media"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    media: Mapped[dict[str, Any]]


class TokenRow(Base):
    """A person's or a program's token: only its hash."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[Role]
    created_at: Mapped[datetime]


class TrainerTokenRow(Base):
    """A trainer's token speaks for its run, and for the runs that a revert may turn it into."""

    __tablename__ = "trainer_tokens"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)


class AuditRow(Base):
    """Who asked for what. Rows are only ever added."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(100))
    request_id: Mapped[str | None] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(40))
    run_id: Mapped[str | None] = mapped_column(_RunId, ForeignKey("runs.id"), index=True)
    seq: Mapped[int | None]

    __table_args__ = (ForeignKeyConstraint(["run_id", "seq"], ["commands.run_id", "commands.seq"]),)


class LeaseRow(Base):
    """Which process may do what only one should."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime]
