"""What the environment says about tracking, read in this one place."""

import math
import os
from collections.abc import Mapping, MutableMapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from midcourse.contract.base import Record
from midcourse.contract.wandb_source import DEFAULT_URL
from midcourse.tracking.alerts import AlertKind

DEFAULT_PROJECT: Final = "midcourse"
DEFAULT_INIT_SECONDS: Final = 60.0
DATA_PREFIX: Final = "data-"
ALERTS: Final = "MIDCOURSE_ALERTS"
CHECKPOINT_DAYS: Final = "MIDCOURSE_CHECKPOINT_DAYS"
LEAST_DAYS: Final = 0.001
"""W&B counts whole seconds, and takes none of them for ever."""
MOST_DAYS: Final = 36_500.0
_NOT_IN_A_PROJECT: Final = "/\\#?%:"

# What belongs to another W&B run or process and would be taken for ours. WANDB_SERVICE stands there
# when the training program uses the SDK itself: the tracker must not join its service.
_FOREIGN: Final = (
    "WANDB_CONSOLE",
    "WANDB_FORK_FROM",
    "WANDB_MODE",
    "WANDB_NOTEBOOK_NAME",
    "WANDB_RESUME",
    "WANDB_RESUME_FROM",
    "WANDB_RUN_ID",
    "WANDB_SERVICE",
    "WANDB_SWEEP_ID",
    "WANDB_TOKEN",
)


class TrackingMode(StrEnum):
    """Where a run's metrics go."""

    ONLINE = "online"
    OFFLINE = "offline"
    """Into a folder beside the run, for `wandb sync` or a later tracker."""
    DISABLED = "disabled"


class TrackingSettings(Record):
    """How this run is tracked. Faults of the environment do not stop a run: they are told."""

    mode: Annotated[TrackingMode, Field(strict=False)] = TrackingMode.OFFLINE
    project: str = DEFAULT_PROJECT
    entity: str | None = None
    name: str | None = None
    """The name that W&B shows, for runs that were given none."""
    base_url: str = DEFAULT_URL
    """The server: `WANDB_BASE_URL`."""
    init_seconds: float = DEFAULT_INIT_SECONDS
    """How long to try to reach the server before going offline."""
    alerts: frozenset[AlertKind] = frozenset(AlertKind)
    """What W&B alerts people of."""
    checkpoint_days: float | None = None
    """How long W&B is to keep checkpoints; None: until the run's own retention lets go of them."""
    api_key: str | None = Field(default=None, repr=False, exclude=True)
    error: str | None = None
    """What was wrong in the environment, and what was done instead."""

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> "TrackingSettings":
        """Read the variables; an empty one counts as unset."""
        given = os.environ if environ is None else environ
        faults: list[str] = []
        found = given.get("WANDB_API_KEY") or given.get("WANDB_TOKEN")
        key = (found or _key_in_file(given, faults)).strip() or None
        return cls(
            mode=_mode(given, key, faults),
            project=_project(given, faults),
            entity=given.get("WANDB_ENTITY") or None,
            name=given.get("WANDB_NAME") or None,
            base_url=(given.get("WANDB_BASE_URL") or DEFAULT_URL).rstrip("/"),
            init_seconds=_seconds(given, faults),
            alerts=_alerts(given, faults),
            checkpoint_days=_days(given, faults),
            api_key=key,
            error="; ".join(faults) or None,
        )

    def redact(self, text: str) -> str:
        """The text without the API key, should an error message have quoted it."""
        return text.replace(self.api_key, "[API key]") if self.api_key else text

    @staticmethod
    def data_folder(folder: Path) -> Path:
        """Where this process stages artifacts, below the run's tracking folder."""
        return folder / f"{DATA_PREFIX}{os.getpid()}"

    def apply(self, environ: MutableMapping[str, str], folder: Path) -> None:
        """Make the SDK's own variables agree: all that it writes stays below `folder`."""
        for name in _FOREIGN:
            environ.pop(name, None)
        if self.api_key:
            environ["WANDB_API_KEY"] = self.api_key
        environ["WANDB_DIR"] = str(folder)
        # Offline artifacts wait here for `wandb sync`; those of an earlier tracker are its own.
        environ["WANDB_DATA_DIR"] = str(self.data_folder(folder))
        environ["WANDB_CACHE_DIR"] = str(folder / "cache")
        environ["WANDB_ERROR_REPORTING"] = "false"
        # The offline file is current within seconds, for `wandb leet` and after a SIGKILL.
        environ.setdefault("WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL", "2")
        environ.setdefault("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "5")


def _key_in_file(given: Mapping[str, str], faults: list[str]) -> str:
    """The key from the file that `WANDB_API_KEY_FILE` names: a Docker secret, say."""
    path = given.get("WANDB_API_KEY_FILE")
    if not path:
        return ""
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        faults.append(f"WANDB_API_KEY_FILE names {path}, which cannot be read ({why})")
        return ""
    if not key:
        faults.append(f"WANDB_API_KEY_FILE names {path}, which is empty")
    return key


def _mode(given: Mapping[str, str], key: str | None, faults: list[str]) -> TrackingMode:
    asked = given.get("WANDB_MODE", "").strip().lower()
    if asked == "disabled":
        return TrackingMode.DISABLED
    if asked in ("offline", "dryrun"):
        return TrackingMode.OFFLINE
    if asked not in ("", "online"):
        faults.append(
            f"WANDB_MODE is {asked!r}; it may be online, offline or disabled. Tracking offline"
        )
        return TrackingMode.OFFLINE
    if key is None and asked == "online":
        faults.append("WANDB_MODE is online, but there is no WANDB_API_KEY. Tracking offline")
    return TrackingMode.ONLINE if key else TrackingMode.OFFLINE


def _project(given: Mapping[str, str], faults: list[str]) -> str:
    asked = given.get("WANDB_PROJECT") or DEFAULT_PROJECT
    if len(asked) <= 128 and not any(character in _NOT_IN_A_PROJECT for character in asked):
        return asked
    faults.append(
        f"WANDB_PROJECT is {asked[:40]!r}; at most 128 characters without any of "
        f"{_NOT_IN_A_PROJECT} are allowed. Using {DEFAULT_PROJECT!r}"
    )
    return DEFAULT_PROJECT


def _seconds(given: Mapping[str, str], faults: list[str]) -> float:
    name, default = "WANDB_INIT_TIMEOUT", DEFAULT_INIT_SECONDS
    asked = given.get(name)
    seconds = _number(asked) if asked else default
    if seconds is not None and seconds < 86_400.0:
        return seconds
    faults.append(
        f"{name} is {asked!r}; it must be a number of seconds above 0 and below a day. "
        f"Using {default:g}"
    )
    return default


def _days(given: Mapping[str, str], faults: list[str]) -> float | None:
    asked = given.get(CHECKPOINT_DAYS)
    if not asked:
        return None
    days = _number(asked)
    if days is not None and LEAST_DAYS <= days <= MOST_DAYS:
        return days
    faults.append(
        f"{CHECKPOINT_DAYS} is {asked!r}; it must be a number of days from {LEAST_DAYS:g} to "
        f"{MOST_DAYS:g}. W&B keeps checkpoints as long as the run does"
    )
    return None


def _number(text: str) -> float | None:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0 < number < math.inf else None


def _alerts(given: Mapping[str, str], faults: list[str]) -> frozenset[AlertKind]:
    asked = given.get(ALERTS)
    if not asked:
        return frozenset(AlertKind)
    words = {word.strip().lower() for word in asked.split(",")} - {"", "none"}
    known = {kind.value for kind in AlertKind}
    if words - known:
        faults.append(
            f"{ALERTS} names {', '.join(sorted(words - known))}; it may name "
            f"{', '.join(sorted(known))}, or none"
        )
    return frozenset(AlertKind(word) for word in words & known)
