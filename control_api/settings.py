"""What the control API can be told from outside. The environment is read here and nowhere else."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Self

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from control_api import container_settings
from control_api.container_settings import ContainerSettings
from control_api.page_tags.words import Verb
from control_api.slots import SLOTS, Slot, find_slots, parse_slots
from midcourse.contract import environment
from midcourse.contract.errors import Fault, InvalidInput
from midcourse.contract.paths import DEFAULT_HOME
from midcourse.contract.wandb_source import DEFAULT_URL

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

_WANDB_URL = "WANDB_BASE_URL"
_WANDB_KEY, _WANDB_OLD_KEY, _WANDB_KEY_FILE = "WANDB_API_KEY", "WANDB_TOKEN", "WANDB_API_KEY_FILE"
_WANDB_MODE = "WANDB_MODE"

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
Network = IPv4Network | IPv6Network

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS = ("json", "text")
MOST_WORKERS = 64

_OWN_VARIABLES = frozenset(
    {
        HOST,
        PORT,
        DATABASE_URL,
        DATABASE_URL_FILE,
        ALLOWED_HOSTS,
        CORS_ORIGINS,
        TRUSTED_PROXIES,
        LOG_LEVEL,
        LOG_FORMAT,
        SLOTS,
        OBEY_SECONDS,
        EVENT_DAYS,
        WORKERS,
        TRAINERS_STAY,
        IN_CONTAINER,
        SYNC,
        TAG_VERBS,
        TAG_SECONDS,
        environment.HOME,
        environment.RUN_ID,
        environment.ATTEMPT,
        environment.ORIGIN,
        environment.RUN_NAME,
        environment.REPLAY,
        environment.HELD,
        environment.API_URL,
        environment.RUN_TOKEN,
        environment.API_TOKEN,
        environment.API_TOKEN_FILE,
        *container_settings.OWN_VARIABLES,
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

    helper_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """That of programs that work for the control API, with W&B's key."""

    wandb_url: str = DEFAULT_URL
    """The W&B server that checkpoints are fetched from."""
    fetch_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking.fetch")
    """What fetches a checkpoint; its source and the home are added. It starts in the trainers'
    folder."""
    fetch_seconds: float = 3600.0
    """How long one fetch may take."""
    fetch_tries: int = 12
    """How often a checkpoint is asked for, where what keeps it may pass."""
    fetch_pause_seconds: float = 5.0
    """Pause before the second try; doubles with each further one."""
    longest_fetch_pause_seconds: float = 300.0
    """The most that it grows to."""

    publisher_command: tuple[str, ...] = (sys.executable, "-m", "dashboards", "publish")
    """What publishes an experiment's pages, in the trainers' folder; its name is added."""
    publisher_seconds: float = 600.0
    """How long that may take."""
    refresh_seconds: float = 30.0
    """Pages that were published once are published again when runs end, this long after the last
    of them: their trackers have sent the rest by then, and of many ends one is enough."""

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

    sync: bool = True
    """Whether what runs left behind is sent to W&B later."""
    sync_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking")
    """What sends a run; the path of its folder is added. Started in the trainers' folder."""

    tag_verbs: frozenset[Verb] = frozenset()
    """What tags on W&B's pages may ask of runs. None: nobody looks at them."""
    tag_seconds: float = 10.0
    """How often they are looked at."""
    page_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking.page")
    """What looks at them; the control API does not load W&B's SDK."""

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

    @property
    def has_wandb_key(self) -> bool:
        """Whether our helpers have a key of W&B's."""
        names = (_WANDB_KEY, _WANDB_OLD_KEY, _WANDB_KEY_FILE)
        return any(self.helper_environment.get(name) for name in names)

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
        environ = os.environ if environ is None else environ
        faults: list[Fault] = []
        if port is None:
            port = _port(environ.get(PORT) or str(DEFAULT_PORT), faults)
        level = (environ.get(LOG_LEVEL) or "INFO").upper()
        if level not in LOG_LEVELS:
            faults.append(Fault(path=LOG_LEVEL, message=f"must be one of {', '.join(LOG_LEVELS)}"))
        database_url = _secret(environ, DATABASE_URL, DATABASE_URL_FILE, faults)
        _check_url(database_url, faults)
        origins = _origins(environ.get(CORS_ORIGINS) or "", faults)
        proxies = _networks(environ.get(TRUSTED_PROXIES) or "", faults)
        log_format = (environ.get(LOG_FORMAT) or "").lower() or None
        if log_format is not None and log_format not in LOG_FORMATS:
            faults.append(
                Fault(path=LOG_FORMAT, message=f"must be one of {', '.join(LOG_FORMATS)}")
            )
        workers = _count(WORKERS, environ, 0, MOST_WORKERS, faults)
        trainers_stay = _yes_or_no(TRAINERS_STAY, environ, True, faults)
        sync = _on_or_off(SYNC, environ, faults)
        in_container = _yes_or_no(IN_CONTAINER, environ, False, faults)
        home = Path(environ.get(environment.HOME) or DEFAULT_HOME)
        host = host or environ.get(HOST) or DEFAULT_HOST
        containers = ContainerSettings.read(
            environ,
            faults,
            home=home.expanduser().absolute(),
            host=host,
            port=port,
            in_container=in_container,
        )
        slots: tuple[Slot, ...] = ()
        try:
            slots = parse_slots(environ.get(SLOTS) or "", environ)
        except InvalidInput as error:
            faults += error.faults
        obey_seconds = _count(OBEY_SECONDS, environ, int(cls.obey_seconds), 86_400, faults)
        event_days = _count(EVENT_DAYS, environ, cls.event_days, 36_500, faults)
        tag_verbs = _verbs(environ.get(TAG_VERBS) or "", faults)
        tag_seconds = _count(TAG_SECONDS, environ, int(cls.tag_seconds), 3600, faults)
        helper_environment = _for_helpers(environ)
        trainer_environment = _for_trainers(helper_environment, containers, faults)
        if faults:
            raise InvalidInput(faults)
        python = sys.executable if containers is None else "python"
        return cls(
            home=home,
            host=host,
            port=port,
            database_url=database_url,
            allowed_hosts=_names(environ.get(ALLOWED_HOSTS) or "")
            | ({containers.api_host} if containers is not None else frozenset()),
            containers=containers,
            cors_origins=origins,
            trusted_proxies=proxies,
            log_level=level,
            log_format=log_format,
            slots=slots,
            obey_seconds=obey_seconds,
            event_days=event_days,
            tag_verbs=tag_verbs,
            tag_seconds=tag_seconds,
            workers=workers,
            # Containers are no children of this process: its end is none of their concern.
            trainers_stay=trainers_stay or containers is not None,
            in_container=in_container,
            trainer_command=(python, "-m", "trainer"),
            trainer_environment=trainer_environment,
            sync=sync,
            wandb_url=environ.get(_WANDB_URL) or DEFAULT_URL,
            helper_environment=helper_environment,
        )

    @property
    def can_log_online(self) -> bool:
        """Whether our environment says that runs are to be in W&B: there is a key."""
        mode = self.helper_environment.get(_WANDB_MODE, "").strip().lower()
        return self.has_wandb_key and mode in ("", "online")

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


def _for_helpers(environ: Mapping[str, str]) -> dict[str, str]:
    """What programs get that work for us: all but what is ours alone."""
    return {name: value for name, value in environ.items() if name not in _OWN_VARIABLES}


def _for_trainers(
    environ: Mapping[str, str], containers: ContainerSettings | None, faults: list[Fault]
) -> dict[str, str]:
    """What trainers get of what helpers have."""
    inherited = dict(environ)
    if containers is None:
        return inherited
    if inherited.get(_WANDB_KEY) or inherited.get(_WANDB_OLD_KEY):
        inherited.pop(_WANDB_KEY_FILE, None)
    elif inherited.get(_WANDB_KEY_FILE):  # a path that no container knows
        inherited[_WANDB_KEY] = _secret(inherited, _WANDB_KEY, _WANDB_KEY_FILE, faults)
        del inherited[_WANDB_KEY_FILE]
    return {name: value for name, value in inherited.items() if containers.passes_on(name)}


def _port(text: str, faults: list[Fault]) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    faults.append(Fault(path=PORT, message=f"must be a number from 1 to 65535, not {text!r}"))
    return 0


def _count(
    name: str, environ: Mapping[str, str], default: int, most: int, faults: list[Fault]
) -> int:
    text = environ.get(name)
    if not text:
        return default
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= most:
        return int(text)
    faults.append(Fault(path=name, message=f"must be a number from 1 to {most}, not {text!r}"))
    return default


def _yes_or_no(name: str, environ: Mapping[str, str], default: bool, faults: list[Fault]) -> bool:
    text = (environ.get(name) or "").lower()
    if text not in ("", "yes", "no"):
        faults.append(Fault(path=name, message=f"must be yes or no, not {text!r}"))
    return text == "yes" if text else default


def _on_or_off(name: str, environ: Mapping[str, str], faults: list[Fault]) -> bool:
    text = (environ.get(name) or "on").lower()
    if text not in ("on", "off"):
        faults.append(Fault(path=name, message=f"must be on or off, not {text!r}"))
    return text == "on"


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def _verbs(text: str, faults: list[Fault]) -> frozenset[Verb]:
    known, asked = [verb.value for verb in Verb], _names(text)
    if strangers := sorted(asked - {*known}):
        message = f"has {strangers[0]!r}; allowed are {', '.join(known)}, with commas between"
        faults.append(Fault(path=TAG_VERBS, message=message, allowed=list(known)))
    return frozenset(Verb(name) for name in asked if name in known)


def _secret(environ: Mapping[str, str], name: str, file_name: str, faults: list[Fault]) -> str:
    """A variable, or what stands in the file that another one names (a Docker secret, say)."""
    value, path = environ.get(name) or "", environ.get(file_name)
    if not path:
        return value
    if value:
        faults.append(Fault(path=file_name, message=f"is set, and so is {name}: set one of them"))
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        faults.append(Fault(path=file_name, message=f"names {path}, which cannot be read: {why}"))
        return ""
    if not text:
        faults.append(Fault(path=file_name, message=f"names {path}, which is empty"))
    return text


def _check_url(url: str, faults: list[Fault]) -> None:
    """The text of SQLAlchemy's own error may be a part of the password."""
    try:
        make_url(url or "sqlite://")
    except ValueError:
        message = (
            "is no database URL, such as postgresql://user:password@host:5432/name; in the "
            "password, characters like / @ : # must be written as %2F %40 %3A %23"
        )
        faults.append(Fault(path=DATABASE_URL, message=message))
    except SQLAlchemyError:
        pass  # told when it is opened


_ORIGIN = r"https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"


def _origins(text: str, faults: list[Fault]) -> frozenset[str]:
    origins = _names(text)
    for origin in sorted(origins):
        if not re.fullmatch(_ORIGIN, origin):
            message = (
                f"{origin!r} is no origin; those are such as https://console.example:8443, with "
                "commas between. There is no word for all of them"
            )
            faults.append(Fault(path=CORS_ORIGINS, message=message))
    return origins


def _networks(text: str, faults: list[Fault]) -> tuple[Network, ...]:
    networks = []
    for part in sorted(_names(text)):
        try:
            networks.append(ip_network(part))
        except ValueError:
            message = f"{part!r} is neither an address nor a network such as 10.0.0.0/8"
            faults.append(Fault(path=TRUSTED_PROXIES, message=message))
    return tuple(networks)
