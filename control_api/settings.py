"""What the control API can be told from outside. The environment is read here and nowhere else."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from midcourse.contract import environment
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.paths import DEFAULT_HOME

HOST = "MIDCOURSE_HOST"
PORT = "PORT"
DATABASE_URL = "MIDCOURSE_DATABASE_URL"
ALLOWED_HOSTS = "MIDCOURSE_ALLOWED_HOSTS"
LOG_LEVEL = "MIDCOURSE_LOG_LEVEL"

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_OWN_VARIABLES = frozenset(
    {
        HOST,
        PORT,
        DATABASE_URL,
        ALLOWED_HOSTS,
        LOG_LEVEL,
        environment.HOME,
        environment.RUN_ID,
        environment.ATTEMPT,
        environment.ORIGIN,
        environment.RUN_NAME,
        environment.API_URL,
        environment.RUN_TOKEN,
    }
)
"""Not handed on to trainers: the launcher gives each its own, and a database URL may hold a
password."""


@dataclass(frozen=True)
class Settings:
    """Everything that differs between one control API and another."""

    home: Path
    """Folder of runs, database and token; absolute."""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    database_url: str = field(default="", repr=False)
    """Empty: a SQLite file in the home. Not shown: it may hold a password."""
    allowed_hosts: frozenset[str] = frozenset()
    """Names by which clients may address the API, besides those of the loopback and `host`."""
    log_level: str = "INFO"

    max_body_bytes: int = 1_000_000
    max_log_bytes: int = 64_000_000
    """Of one request that ships run log: a single line may be longer than the usual chunk."""

    trainer_command: tuple[str, ...] = (sys.executable, "-m", "trainer")
    """What starts a trainer; the path of its parameters is added."""
    trainer_folder: Path = Path(__file__).resolve().parent.parent
    """Where it is started: the checkout, so that `trainer` is found."""
    trainer_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that trainers inherit."""

    reconcile_seconds: float = 0.5
    """How often desired and observed are compared when nothing rings."""
    lease_seconds: float = 5.0
    """How long a reconciler that died keeps others from taking over."""
    heartbeat_seconds: float = 10.0
    """Without a heartbeat for this long, a run's log is read from its folder."""
    futile_attempts: int = 3
    """So many attempts in a row that end before a step further than any before: failed."""
    restart_seconds: float = 1.0
    """Pause before the restart after a futile attempt; doubles with each further one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.home / 'control.db'}")

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
    ) -> Self:
        """Settings from environment variables; arguments, where given, win over them.

        Raises:
            InvalidInput: naming each variable that is malformed.
        """
        environ = os.environ if environ is None else environ
        faults: list[Fault] = []
        if port is None:
            port = _port(environ.get(PORT) or str(DEFAULT_PORT), faults)
        level = (environ.get(LOG_LEVEL) or "INFO").upper()
        if level not in LOG_LEVELS:
            faults.append(Fault(path=LOG_LEVEL, message=f"must be one of {', '.join(LOG_LEVELS)}"))
        if faults:
            raise InvalidInput(faults)
        return cls(
            home=Path(environ.get(environment.HOME) or DEFAULT_HOME),
            host=host or environ.get(HOST) or DEFAULT_HOST,
            port=port,
            database_url=environ.get(DATABASE_URL) or "",
            allowed_hosts=_names(environ.get(ALLOWED_HOSTS) or ""),
            log_level=level,
            trainer_environment={
                name: value for name, value in environ.items() if name not in _OWN_VARIABLES
            },
        )

    @property
    def token_file(self) -> Path:
        """Where the admin token of the first start lies, readable by the owner alone."""
        return self.home / "token"

    @property
    def url(self) -> str:
        """Where programs on this machine find the API."""
        host = {"0.0.0.0": DEFAULT_HOST, "::": "::1", "": DEFAULT_HOST}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def _port(text: str, faults: list[Fault]) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    faults.append(Fault(path=PORT, message=f"must be a number from 1 to 65535, not {text!r}"))
    return 0


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())
