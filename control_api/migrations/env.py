"""Run by Alembic: hands it the connection that `Database.migrate` has opened."""

from typing import Any, Literal

from alembic import context

import control_api.tables  # noqa: F401 (what is to be there)
from control_api.columns import Base, Moment


def render_item(kind: str, item: Any, _autogen: Any) -> str | Literal[False]:
    """A migration must not change when our code does: it names SQL's types, not ours."""
    return "sa.DateTime()" if kind == "type" and isinstance(item, Moment) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render_item,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
