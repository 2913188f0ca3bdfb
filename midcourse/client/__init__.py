"""A client of the control API in Python: `midcourse.Client`, and what it raises.

It knows the contract and `requests`; no torch, no wandb.
"""

from midcourse.client.client import Client
from midcourse.client.errors import (
    AmbiguousName,
    ClientError,
    Forbidden,
    NotApplied,
    NotFound,
    NoToken,
    NotReachable,
    Refused,
    Troubled,
    Unauthenticated,
    UnknownName,
)

__all__ = [
    "AmbiguousName",
    "Client",
    "ClientError",
    "Forbidden",
    "NoToken",
    "NotApplied",
    "NotFound",
    "NotReachable",
    "Refused",
    "Troubled",
    "Unauthenticated",
    "UnknownName",
]
