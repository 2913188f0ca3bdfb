"""Readiness: whether what a request may need is there, and if not, what is missing."""

from datetime import datetime

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from control_api.database import Database, migration_config
from control_api.lease import LEASE, last_claim
from control_api.problems import NotReady
from control_api.settings import Settings
from midcourse.contract.api.health import Check, Readiness


def look(settings: Settings, database: Database, now: datetime) -> Readiness:
    """Look at the database, its tables, and for the reconciler.

    Raises:
        NotReady: something is missing; it says what.
    """
    checks = [_database(database)]
    if checks[0].ok:
        checks += [_migrations(database), _reconciler(settings, database, now)]
    missing = [check.detail or check.name for check in checks if not check.ok]
    if missing:
        raise NotReady(" ".join(missing), checks=[check.model_dump() for check in checks])
    return Readiness(status="ready", checks=checks)


def _database(database: Database) -> Check:
    try:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
    except SQLAlchemyError:  # its text may hold the address: whoever asks here has no token
        return Check(name="database", ok=False, detail="The database does not answer.")
    return Check(name="database", ok=True)


def _migrations(database: Database) -> Check:
    wanted = ScriptDirectory.from_config(migration_config()).get_current_head()
    try:
        with database.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError:
        return Check(name="migrations", ok=False, detail="The tables cannot be looked at.")
    if found == wanted:
        return Check(name="migrations", ok=True)
    detail = f"The tables are at revision {found}, not {wanted}; start a server of this version."
    return Check(name="migrations", ok=False, detail=detail)


def _reconciler(settings: Settings, database: Database, now: datetime) -> Check:
    try:
        with database.reading() as session:
            claimed = last_claim(session, LEASE, settings.lease_seconds)
    except SQLAlchemyError:
        return Check(name="reconciler", ok=False, detail="Its lease cannot be looked at.")
    if claimed is None:
        detail = "No reconciler has the lease: nothing starts. Run one of `control_api reconcile`."
        return Check(name="reconciler", ok=False, detail=detail)
    age = (now - claimed).total_seconds()
    if age > 2 * settings.lease_seconds:
        detail = f"The reconciler last looked {age:.0f} s ago: it hangs, or is gone."
        return Check(name="reconciler", ok=False, detail=detail)
    return Check(name="reconciler", ok=True)
