"""The database's tables. What is commanded and what was observed is here, and nowhere else.

Migrations (`control_api/migrations`) make them; a test holds the two to each other.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from control_api.columns import Base, Desired, TagState
from midcourse.contract.api.audit import Outcome
from midcourse.contract.api.reports import ReportState
from midcourse.contract.api.values import MAX_KEY_LENGTH
from midcourse.contract.receipts import CommandState
from midcourse.contract.roles import Role
from midcourse.contract.runs import RunStatus

_RunId = String(63)


class RunRow(Base):
    """A run: what is wanted of it, and what was last seen of it."""

    __tablename__ = "runs"
    __table_args__ = (
        # Lists are found in it alone: rows are wide, and most of one is the declared parameters.
        Index(
            "ix_runs_listed",
            "created_at",
            "id",
            "deleted_at",
            "archived_at",
            "status",
            "experiment",
            "sweep",
            "parent_id",
            "priority",
        ),
    )

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
    """The parent's command that this run comes from: its checkpoint (a fork from now), its revert
    or its undo."""
    checkpoint_run: Mapped[str | None] = mapped_column(_RunId)
    """The run that has the checkpoint, if not the parent: an undo may go back to an ancestor's."""
    changes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    warm_start: Mapped[bool] = mapped_column(default=False)
    """Its configuration was edited: what agrees in name and shape is kept."""
    replay: Mapped[str | None] = mapped_column(_RunId)
    """The run whose journal it is fed."""
    reverts: Mapped[bool] = mapped_column(default=False)
    """It takes its parent's place and process; until then it is queued, with attempt 0."""
    pinned: Mapped[bool] = mapped_column(default=False)
    """A pin of its name lies in the parent's checkpoint, which is therefore kept."""
    source: Mapped[str | None] = mapped_column(String(500))
    """In W&B. Of a fork: which checkpoint it was asked to start from, `entity/project/run@best`.
    Of an imported run: the run, `entity/project/run`."""
    image: Mapped[str | None] = mapped_column(String(500))
    """The container image that it brings; null: the launcher's usual one."""
    command: Mapped[list[Any] | None]
    """What is started in it; null: the bundled trainer."""
    sweep: Mapped[str | None] = mapped_column(String(63), index=True)
    """The submission of many configurations that it came with, where it did."""

    priority: Mapped[int] = mapped_column(default=0)
    """Of two runs in the queue, the higher one starts first, then the older one."""
    slot: Mapped[str | None] = mapped_column(String(40), index=True, unique=True)
    """The place that it has, such as `cpu:0` or `gpu:1`; nobody else can have it."""

    tags: Mapped[list[Any]] = mapped_column(default=list)
    notes: Mapped[str | None] = mapped_column(Text)
    archived_at: Mapped[datetime | None]
    """Out of sight, but all there."""
    deleted_at: Mapped[datetime | None]
    """All gone but this row, which its children point to, and the checkpoints they came from."""
    deletion: Mapped[dict[str, Any] | None]
    """What the deletion took and left, as it was answered."""
    clear_after: Mapped[datetime | None] = mapped_column(index=True)
    """When the reconciler goes on with a deletion; null: there is nothing left to take away."""

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
    """A command and its receipt. The number is unique in its run: the primary key sees to it.

    Those that people asked for are 1, 2, …; what a fork begins with is 0; those that the run gave
    itself are -1, -2, …
    """

    __tablename__ = "commands"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    action: Mapped[dict[str, Any]]
    reason: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(200))
    accepted_at: Mapped[datetime]
    at: Mapped[dict[str, Any] | None]
    """When it is to act; null: at the next boundary."""
    dry_run: Mapped[bool] = mapped_column(default=False)
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


class MetricBatchRow(Base):
    """The numbers of one report, until they are folded into chunks (`control_api.metric_store`)."""

    __tablename__ = "metric_batches"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy's way)

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    log_offset: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Where the report begins in the run's log."""
    data: Mapped[str] = mapped_column(Text)
    """JSON: metric → [steps, values]; text, as JSON has no NaN, and Python's has."""


class MetricChunkRow(Base):
    """Points of one metric, ascending; the steps of its next chunk are higher."""

    __tablename__ = "metric_chunks"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    first_step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_step: Mapped[int]
    points: Mapped[int]
    """How many."""
    steps: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Whole numbers of 64 bits, little-endian; null where they are evenly apart."""
    values: Mapped[bytes] = mapped_column(LargeBinary)
    """Floats of 64 bits, little-endian."""


class MediaRow(Base):
    """A picture or table of one step."""

    __tablename__ = "media"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    media: Mapped[dict[str, Any]]


class SyncRow(Base):
    """What the sync job knows of a run that is not all in W&B; there is none before its turn."""

    __tablename__ = "sync"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    tries: Mapped[int]
    """In a row that left something."""
    due_at: Mapped[datetime | None]
    """When it is tried again; null once it is not, and before it was tried."""
    began_at: Mapped[datetime | None]
    """Since when it is being sent; null: it is not."""
    error: Mapped[str | None] = mapped_column(Text)
    """Why the last try left something."""


class TokenRow(Base):
    """A person's or a program's token: only its hash. Rows stay when tokens end."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[Role]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(200))
    expires_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was revoked; or, where its name was given to another, when it had expired."""
    ended_by: Mapped[str | None] = mapped_column(String(200))

    __table_args__ = (
        Index(
            "ix_tokens_name",
            "name",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        {"sqlite_autoincrement": True},  # no number comes twice: the audit has them
    )


class TrainerTokenRow(Base):
    """A trainer's token speaks for its run, and for the runs that a revert may turn it into."""

    __tablename__ = "trainer_tokens"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)


class AuditRow(Base):
    """Who asked for what, and what became of it. Rows are only ever added.

    It points to nothing: what was refused may have been about what never was.
    """

    __tablename__ = "audit"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 (no number comes twice)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str | None] = mapped_column(String(200), index=True)
    """The name of the token; null where nobody's was given."""
    token_id: Mapped[int | None]
    role: Mapped[str | None] = mapped_column(String(20))
    address: Mapped[str | None] = mapped_column(String(100))
    request_id: Mapped[str | None] = mapped_column(String(40), index=True)
    method: Mapped[str | None] = mapped_column(String(20))
    path: Mapped[str | None] = mapped_column(String(500))
    """Without the query, which holds reasons and may hold more."""
    action: Mapped[str | None] = mapped_column(String(40))
    run_id: Mapped[str | None] = mapped_column(String(200), index=True)
    seq: Mapped[int | None]
    subject: Mapped[str | None] = mapped_column(String(200))
    """What else it was about: a token's name; of a failed login, how the token began."""
    outcome: Mapped[Outcome] = mapped_column(
        default=Outcome.ACCEPTED, server_default=Outcome.ACCEPTED
    )
    status: Mapped[int | None]
    """Of the answer; null where the effect was stored first."""
    problem: Mapped[str | None] = mapped_column(String(100))


class LoginFailureRow(Base):
    """How many requests of an address came without a good token of late."""

    __tablename__ = "login_failures"

    address: Mapped[str] = mapped_column(String(100), primary_key=True)
    since: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int]


class KeyRow(Base):
    """An `Idempotency-Key`, and what was made under it. Two of one actor cannot be the same."""

    __tablename__ = "idempotency_keys"

    actor: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request: method, address, query and body."""
    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"))
    seq: Mapped[int | None]
    """The command that was made; null where it was the run."""
    runs: Mapped[list[Any] | None]
    """Of a request to many runs: those that it reached, the one above first. Each has a key of its
    own for what was made of it."""
    created_at: Mapped[datetime] = mapped_column(index=True)


class FetchRow(Base):
    """A checkpoint that forks wait for, and that W&B could not hand over when it was asked."""

    __tablename__ = "fetches"

    source: Mapped[str] = mapped_column(String(500), primary_key=True)
    """As the forks have it."""
    tries: Mapped[int]
    """How many have failed."""
    due_at: Mapped[datetime]
    """When the next one begins."""
    trouble: Mapped[str] = mapped_column(Text)
    """Why the last one failed."""


class EventRow(Base):
    """Something that happened to a run; the numbers are in the order of the commits."""

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 (no number comes twice)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(40))
    run_id: Mapped[str | None] = mapped_column(_RunId, index=True)
    data: Mapped[dict[str, Any]]


class ReportRow(Base):
    """The pages of an experiment in W&B: one row for each whose pages were ever asked for."""

    __tablename__ = "experiment_reports"

    experiment: Mapped[str] = mapped_column(String(63), primary_key=True)
    state: Mapped[ReportState]
    links: Mapped[list[Any]] = mapped_column(default=list)
    """Of what was published last; empty where nothing ever was."""
    notes: Mapped[list[Any]] = mapped_column(default=list)
    error: Mapped[str | None] = mapped_column(Text)
    asked: Mapped[int]
    """How often it was asked for."""
    begun: Mapped[int]
    """The same when the publisher last began: what was asked for since needs another."""
    asked_by: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Which process may do what only one should."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime]
    trouble: Mapped[str | None] = mapped_column(Text)
    """What keeps the holder from its work, for people."""
    worked_at: Mapped[datetime | None]
    """When a holder last did that work, where it is told."""


MAX_TAG = 256
"""The most characters of a page's tag that is looked at; W&B allows 64."""


class PageTagRow(Base):
    """A tag by which somebody commanded a run on its page in W&B. It is obeyed once.

    While it is open, the same tag on the same page is the same one: two open rows cannot be.
    """

    __tablename__ = "page_tags"

    run_id: Mapped[str] = mapped_column(_RunId, ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, … in its run; the page shows it beside what became of the tag."""
    tag: Mapped[str] = mapped_column(String(MAX_TAG))
    entity: Mapped[str] = mapped_column(String(200))
    project: Mapped[str] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(200))
    state: Mapped[TagState]
    seq: Mapped[int | None]
    """The command that it became."""
    child: Mapped[str | None] = mapped_column(_RunId)
    """The run that it made, or that goes on in place of this one."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was refused."""
    seen_at: Mapped[datetime]
    shown_at: Mapped[datetime | None]
    """When the page was last told what became of it; null: it is still to be told."""
    came_back: Mapped[bool] = mapped_column(default=False)
    """The page had the tag again, and not what it was told: an old state, not a new wish."""
    closed_at: Mapped[datetime | None]
    """Since when the same tag would be another one."""

    __table_args__ = (
        Index(
            "ix_page_tags_open",
            "run_id",
            "tag",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )
