"""What other programs get of our environment: all but what is ours alone."""

from collections.abc import Mapping

from control_api import container_settings, variables
from control_api.container_settings import ContainerSettings
from control_api.slots import SLOTS
from control_api.variables import Variables
from control_api.wandb_settings import KEY, KEY_FILE, OLD_KEY
from midcourse.contract import environment

OWN_VARIABLES = frozenset(
    {
        variables.HOST,
        variables.PORT,
        variables.DATABASE_URL,
        variables.DATABASE_URL_FILE,
        variables.ALLOWED_HOSTS,
        variables.CORS_ORIGINS,
        variables.TRUSTED_PROXIES,
        variables.LOG_LEVEL,
        variables.LOG_FORMAT,
        SLOTS,
        variables.OBEY_SECONDS,
        variables.EVENT_DAYS,
        variables.WORKERS,
        variables.TRAINERS_STAY,
        variables.IN_CONTAINER,
        variables.SYNC,
        variables.TAG_VERBS,
        variables.TAG_SECONDS,
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


def for_helpers(environ: Mapping[str, str]) -> dict[str, str]:
    """What programs get that work for us."""
    return {name: value for name, value in environ.items() if name not in OWN_VARIABLES}


def for_trainers(read: Variables, containers: ContainerSettings | None) -> dict[str, str]:
    """What trainers get of what helpers have.

    Args:
        read: the environment; it is told of a key's file that cannot be read.
        containers: how trainers are started, where they are containers.
    """
    inherited = for_helpers(read.environ)
    if containers is None:
        return inherited
    if inherited.get(KEY) or inherited.get(OLD_KEY):
        inherited.pop(KEY_FILE, None)
    elif inherited.get(KEY_FILE):  # a path that no container knows
        inherited[KEY] = read.secret(KEY, KEY_FILE)
        del inherited[KEY_FILE]
    return {name: value for name, value in inherited.items() if containers.passes_on(name)}
