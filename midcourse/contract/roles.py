"""What a token may do."""

from enum import StrEnum


class Role(StrEnum):
    """What a person's or a program's token may do; each role has what the ones before it have."""

    VIEWER = "viewer"
    """Look at everything but tokens and the audit."""
    OPERATOR = "operator"
    """The same, and command the runs that are there: steer, fork, revert, name, archive."""
    ADMIN = "admin"
    """Everything, but what belongs to trainers: launch, delete, tokens, the audit."""

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)
