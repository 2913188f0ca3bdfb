"""What can be said from outside of W&B: its server, and what works there for the control API."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from control_api.page_tags.words import Verb
from control_api.variables import SYNC, TAG_SECONDS, TAG_VERBS, Variables
from midcourse.contract.wandb_source import DEFAULT_URL

URL = "WANDB_BASE_URL"
KEY, OLD_KEY, KEY_FILE = "WANDB_API_KEY", "WANDB_TOKEN", "WANDB_API_KEY_FILE"
MODE = "WANDB_MODE"


@dataclass(frozen=True)
class WandbSettings:
    """How checkpoints are fetched, pages published, runs sent and tags obeyed.

    Each is done by a program of its own, which starts in the trainers' folder: the control API does
    not load W&B's SDK.
    """

    helper_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """That of those programs, with W&B's key."""
    url: str = DEFAULT_URL
    """The server that checkpoints are fetched from."""

    fetch_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking.fetch")
    """What fetches a checkpoint; its source and the home are added."""
    fetch_seconds: float = 3600.0
    """How long one fetch may take."""
    fetch_tries: int = 12
    """How often a checkpoint is asked for, where what keeps it may pass."""
    fetch_pause_seconds: float = 5.0
    """Pause before the second try; doubles with each further one."""
    longest_fetch_pause_seconds: float = 300.0
    """The most that it grows to."""

    publisher_command: tuple[str, ...] = (sys.executable, "-m", "dashboards", "publish")
    """What publishes an experiment's pages; its name is added."""
    publisher_seconds: float = 600.0
    """How long that may take."""
    refresh_seconds: float = 30.0
    """Pages that were published once are published again when runs end, this long after the last
    of them: their trackers have sent the rest by then, and of many ends one is enough."""

    sync: bool = True
    """Whether what runs left behind is sent to W&B later."""
    sync_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking")
    """What sends a run; the path of its folder is added."""

    tag_verbs: frozenset[Verb] = frozenset()
    """What tags on W&B's pages may ask of runs. None: nobody looks at them."""
    tag_seconds: float = 10.0
    """How often they are looked at."""
    page_command: tuple[str, ...] = (sys.executable, "-m", "midcourse.tracking.page")
    """What looks at them."""

    @property
    def has_key(self) -> bool:
        """Whether our helpers have a key of W&B's."""
        return any(self.helper_environment.get(name) for name in (KEY, OLD_KEY, KEY_FILE))

    @property
    def can_log_online(self) -> bool:
        """Whether our environment says that runs are to be in W&B: there is a key."""
        mode = self.helper_environment.get(MODE, "").strip().lower()
        return self.has_key and mode in ("", "online")

    @classmethod
    def read(cls, variables: Variables, helper_environment: Mapping[str, str]) -> Self:
        """The settings, by variables; what is malformed is said there.

        Args:
            variables: the environment.
            helper_environment: what of it is for programs that work for us.
        """
        return cls(
            helper_environment=helper_environment,
            url=variables.text(URL) or DEFAULT_URL,
            sync=variables.choice(SYNC, ("on", "off"), "on") == "on",
            tag_verbs=_verbs(variables),
            tag_seconds=variables.count(TAG_SECONDS, int(cls.tag_seconds), 3600),
        )


def _verbs(variables: Variables) -> frozenset[Verb]:
    known, asked = [verb.value for verb in Verb], variables.names(TAG_VERBS)
    if strangers := sorted(asked - {*known}):
        message = f"has {strangers[0]!r}; allowed are {', '.join(known)}, with commas between"
        variables.fault(TAG_VERBS, message, list(known))
    return frozenset(Verb(name) for name in asked if name in known)
