"""What the tables are made of: the types of their columns, and the base of all rows."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Enum, Integer, MetaData, TypeDecorator
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase

from midcourse.contract.api.audit import Outcome
from midcourse.contract.api.reports import ReportState
from midcourse.contract.receipts import CommandState
from midcourse.contract.roles import Role
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
    SUSPENDED = "suspended"
    """Not now: its place is for others, and `resume` brings it back bit for bit."""


class TagState(StrEnum):
    """What became of a tag by which somebody commanded a run on its page in W&B."""

    OBEYED = "obeyed"
    """What it asked for was accepted; what became of that is still to be known."""
    DONE = "done"
    REFUSED = "refused"
    """Nothing was changed."""


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
        Outcome: _names_of(Outcome, 20),
        TagState: _names_of(TagState, 20),
        ReportState: _names_of(ReportState, 20),
    }
