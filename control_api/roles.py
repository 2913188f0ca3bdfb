"""Which role a view needs, as it was declared where the view is."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

from flask import Flask

from midcourse.contract.roles import Role

View = TypeVar("View", bound=Callable[..., Any])


class Special(Enum):
    """What is no matter of roles."""

    OPEN = "open"
    """Needs no token."""
    TRAINER = "trainer"
    """Belongs to the trainer of the run, whose token no person has."""


OPEN: Final = Special.OPEN
TRAINER: Final = Special.TRAINER

Needed = Role | Special

_ATTRIBUTE = "needs"


def needs(needed: Needed) -> Callable[[View], View]:
    """Say what a view needs that is no operation of a `Resource`, which say it themselves."""

    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, needed)
        return view

    return mark


def needed_by(app: Flask, endpoint: str | None) -> Needed:
    """What the view of an endpoint needs; one that does not say it needs an admin.

    None, an address without a view, needs any good token: strangers are told nothing.
    """
    if endpoint is None:
        return Role.VIEWER
    view = app.view_functions[endpoint]
    operation = getattr(view, "operation", None)
    if operation is not None:
        role: Role | None = operation.role
        return OPEN if role is None else role
    needed: Needed = getattr(view, _ATTRIBUTE, Role.ADMIN)
    return needed
