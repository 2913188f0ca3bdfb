"""What the control API can be told from outside. The environment is read here and nowhere else."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from control_api.container_settings import ContainerSettings
from control_api.inherited import for_helpers, for_trainers
from control_api.slots import SLOTS, Slot, find_slots, parse_slots
from control_api.variables import (
    ALLOWED_HOSTS,
    CORS_ORIGINS,
    EVENT_DAYS,
    HOST,
    IN_CONTAINER,
    LOG_FORMAT,
    LOG_LEVEL,
    OBEY_SECONDS,
    PORT,
    TRAINERS_STAY,
    TRUSTED_PROXIES,
    WORKERS,
    Network,
    Variables,
)
from control_api.wandb_settings import WandbSettings
from midcourse.contract import environment
from midcourse.contract.errors import InvalidInput
from midcourse.contract.paths import DEFAULT_HOME

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS = ("json", "text")
MOST_WORKERS = 64
_YES_OR_NO = ("yes", "no")


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
    cors_origins: frozenset[str] = frozenset()
    """Origins whose pages may use the API from a browser, besides its own: `https://lab.example`."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose `X-Forwarded-For` is believed."""
    max_failed_logins: int = 10
    """Of one address in a window; beyond, the answer is 429 until the window ends."""
    failed_login_seconds: float = 60.0
    log_level: str = "INFO"
    log_format: str | None = None
    """`json` or `text`; None: text on a terminal, else JSON."""

    workers: int = 0
    """Processes that answer requests. 0: two, or one on SQLite, which has one writer at a time."""

    max_body_bytes: int = 1_000_000
    max_log_bytes: int = 64_000_000
    """Of one request that ships run log: a single line may be longer than the usual chunk."""

    trainer_command: tuple[str, ...] = (sys.executable, "-m", "trainer")
    """What starts a trainer; the path of its parameters is added."""
    trainer_folder: Path = Path(__file__).resolve().parent.parent
    """Where it is started: the checkout, so that `trainer` is found."""
    trainer_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that trainers inherit."""

    wandb: WandbSettings = field(default_factory=WandbSettings)
    """How W&B is used, beside what trackers send there."""

    trainers_stay: bool = True
    """Trainers train on when the API ends, and the next one takes them up. Where they cannot, as in
    a container that ends with it, they are asked to end, and the next API starts them again."""

    containers: ContainerSettings | None = None
    """Trainers are containers, by the `docker` launcher; None: processes of this machine."""
    in_container: bool = False
    """People reach `midcourse`, and the token's file, by `docker exec`."""

    slots: tuple[Slot, ...] = field(default_factory=lambda: find_slots({}))
    """Where runs train, one in each; in the order in which they are given out."""
    obey_seconds: float = 120.0
    """A trainer that was told to stop or to make room, and has not after so long, is asked by
    SIGTERM; after as long again it is killed."""

    event_days: int = 30
    """How long events are kept, for those who come back to read on."""

    reconcile_seconds: float = 0.5
    """How often desired and observed are compared when nothing rings."""
    trainer_lease_seconds: float | None = None
    """How long a trainer may train on without hearing from the API. None: for as long as it takes,
    as the `process` launcher sees from the trainers' own machine which of them live. A launcher
    elsewhere needs one, and gives nobody else the run before twice that time is over."""
    lease_seconds: float = 5.0
    """How long a reconciler that died keeps others from taking over."""
    heartbeat_seconds: float = 10.0
    """Without a heartbeat for this long, a run's log is read from its folder."""
    futile_attempts: int = 3
    """So many attempts in a row that end before a step further than any before: failed."""
    restart_seconds: float = 1.0
    """Pause before the restart after a futile attempt; doubles with each further one."""
    longest_restart_seconds: float = 300.0
    """The most that it grows to."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{self.home / 'control.db'}")
        if not self.workers:
            on_sqlite = self.database_url.startswith("sqlite")
            object.__setattr__(self, "workers", 1 if on_sqlite else 2)

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
        read = Variables(os.environ if environ is None else environ)
        if port is None:
            port = read.count(PORT, DEFAULT_PORT, 65535)
        host = host or read.text(HOST) or DEFAULT_HOST
        home = Path(read.text(environment.HOME) or DEFAULT_HOME)
        in_container = read.choice(IN_CONTAINER, _YES_OR_NO, "no") == "yes"
        containers = ContainerSettings.read(
            read.environ,
            read.faults,
            home=home.expanduser().absolute(),
            host=host,
            port=port,
            in_container=in_container,
        )
        api_host = frozenset() if containers is None else frozenset({containers.api_host})
        python = sys.executable if containers is None else "python"
        settings = cls(
            home=home,
            host=host,
            port=port,
            database_url=read.database_url(),
            allowed_hosts=read.names(ALLOWED_HOSTS) | api_host,
            cors_origins=read.origins(CORS_ORIGINS),
            trusted_proxies=read.networks(TRUSTED_PROXIES),
            log_level=read.choice(LOG_LEVEL, LOG_LEVELS, "INFO"),
            log_format=read.choice(LOG_FORMAT, LOG_FORMATS, "") or None,
            workers=read.count(WORKERS, 0, MOST_WORKERS),
            slots=_slots(read),
            obey_seconds=read.count(OBEY_SECONDS, int(cls.obey_seconds), 86_400),
            event_days=read.count(EVENT_DAYS, cls.event_days, 36_500),
            containers=containers,
            in_container=in_container,
            # Containers are no children of this process: its end is none of their concern.
            trainers_stay=read.choice(TRAINERS_STAY, _YES_OR_NO, "yes") == "yes"
            or containers is not None,
            trainer_command=(python, "-m", "trainer"),
            trainer_environment=for_trainers(read, containers),
            wandb=WandbSettings.read(read, for_helpers(read.environ)),
        )
        if read.faults:
            raise InvalidInput(read.faults)
        return settings

    @property
    def exits(self) -> Path:
        """Where the supervisor notes how trainers ended that it has adopted."""
        return self.home / "exits"

    @property
    def token_file(self) -> Path:
        """Where the admin token of the first start lies, readable by the owner alone."""
        return self.home / "token"

    @property
    def url(self) -> str:
        """Where programs on this machine find the API."""
        host = {"0.0.0.0": DEFAULT_HOST, "::": "::1", "": DEFAULT_HOST}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def _slots(read: Variables) -> tuple[Slot, ...]:
    try:
        return parse_slots(read.text(SLOTS), read.environ)
    except InvalidInput as error:
        read.faults += error.faults
        return ()
