"""Times as the server writes them."""

from datetime import UTC, datetime


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
