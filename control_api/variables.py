"""Variables of the environment: how ours are called, and how one is read.

What is malformed is collected, so that a start names all of it at once.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from midcourse.contract.errors import Fault

HOST = "MIDCOURSE_HOST"
PORT = "PORT"
DATABASE_URL = "MIDCOURSE_DATABASE_URL"
DATABASE_URL_FILE = "MIDCOURSE_DATABASE_URL_FILE"
ALLOWED_HOSTS = "MIDCOURSE_ALLOWED_HOSTS"
CORS_ORIGINS = "MIDCOURSE_CORS_ORIGINS"
TRUSTED_PROXIES = "MIDCOURSE_TRUSTED_PROXIES"
LOG_LEVEL = "MIDCOURSE_LOG_LEVEL"
LOG_FORMAT = "MIDCOURSE_LOG_FORMAT"
OBEY_SECONDS = "MIDCOURSE_OBEY_SECONDS"
EVENT_DAYS = "MIDCOURSE_EVENT_DAYS"
WORKERS = "MIDCOURSE_WORKERS"
TRAINERS_STAY = "MIDCOURSE_TRAINERS_STAY"
IN_CONTAINER = "MIDCOURSE_IN_CONTAINER"
SYNC = "MIDCOURSE_SYNC"
TAG_VERBS = "MIDCOURSE_TAG_VERBS"
TAG_SECONDS = "MIDCOURSE_TAG_SECONDS"

Network = IPv4Network | IPv6Network
_ORIGIN = r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"


class Variables:
    """An environment, and what is wrong in it as far as it was read. Empty counts as unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[Fault] = []

    def fault(self, name: str, message: str, allowed: Any = None) -> None:
        """Say what is wrong with a variable."""
        self.faults.append(Fault(path=name, message=message, allowed=allowed))

    def text(self, name: str) -> str:
        """As it stands; empty where it is unset."""
        return self.environ.get(name) or ""

    def count(self, name: str, default: int, most: int) -> int:
        """A number from 1."""
        text = self.text(name)
        if not text:
            return default
        if text.isascii() and text.isdecimal() and 1 <= int(text) <= most:
            return int(text)
        self.fault(name, f"must be a number from 1 to {most}, not {text!r}")
        return default

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of some words, in capitals or not."""
        text = self.text(name)
        for word in allowed:
            if text.lower() == word.lower():
                return word
        if text:
            self.fault(name, f"must be {' or '.join(allowed)}, not {text!r}", list(allowed))
        return default

    def names(self, name: str) -> frozenset[str]:
        """Words with commas between, in small letters."""
        words = (word.strip().lower() for word in self.text(name).split(","))
        return frozenset(word for word in words if word)

    def secret(self, name: str, file_name: str) -> str:
        """A variable, or what stands in the file that another one names (a Docker secret, say)."""
        value, path = self.text(name), self.text(file_name)
        if not path:
            return value
        if value:
            self.fault(file_name, f"is set, and so is {name}: set one of them")
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            self.fault(file_name, f"names {path}, which cannot be read: {why}")
            return ""
        if not text:
            self.fault(file_name, f"names {path}, which is empty")
        return text

    def database_url(self) -> str:
        """The database's address; empty where none is given."""
        url = self.secret(DATABASE_URL, DATABASE_URL_FILE)
        try:
            make_url(url or "sqlite://")
        except ValueError:  # the text of SQLAlchemy's own may be a part of the password
            message = (
                "is no database URL, such as postgresql://user:password@host:5432/name; in the "
                "password, characters like / @ : # must be written as %2F %40 %3A %23"
            )
            self.fault(DATABASE_URL, message)
        except SQLAlchemyError:
            pass  # told when it is opened
        return url

    def origins(self, name: str) -> frozenset[str]:
        """Origins of pages, with commas between."""
        origins = self.names(name)
        for origin in sorted(origins):
            if not re.fullmatch(_ORIGIN, origin):
                message = (
                    f"{origin!r} is no origin; those are such as https://console.example:8443, "
                    "with commas between. There is no word for all of them"
                )
                self.fault(name, message)
        return origins

    def networks(self, name: str) -> tuple[Network, ...]:
        """Addresses and networks, with commas between."""
        networks = []
        for part in sorted(self.names(name)):
            try:
                networks.append(ip_network(part))
            except ValueError:
                message = f"{part!r} is neither an address nor a network such as 10.0.0.0/8"
                self.fault(name, message)
        return tuple(networks)
