"""Where in W&B pages are shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A project."""

    entity: str
    """The team or user that owns it."""
    project: str
    project_id: str
    """The server's own name for the project, which stands in reports."""

    @property
    def path(self) -> str:
        """As W&B writes it."""
        return f"{self.entity}/{self.project}"
