"""Whose W&B pages are published to: the variables that the tracker reads, too."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field

from midcourse.contract.base import Record
from midcourse.contract.errors import MidcourseError

DEFAULT_PROJECT: Final = "midcourse"
CLOUD: Final = "https://api.wandb.ai"


class CannotPublish(MidcourseError):
    """W&B cannot be told; the text says why, and what to do."""


class Account(Record):
    """A W&B server and who we are there."""

    api_key: str = Field(repr=False, exclude=True)
    base_url: str = CLOUD
    entity: str | None = None
    """The team or user; None: the key's own."""
    project: str = DEFAULT_PROJECT

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        entity: str | None = None,
        project: str | None = None,
    ) -> "Account":
        """From the environment; an empty variable counts as unset.

        Args:
            environ: by default the process's own.
            entity: overrules `WANDB_ENTITY`.
            project: overrules `WANDB_PROJECT`.

        Raises:
            CannotPublish: there is no key, or no server can be at the address.
        """
        given = os.environ if environ is None else environ
        base_url = (given.get("WANDB_BASE_URL") or CLOUD).rstrip("/")
        if not base_url.startswith(("http://", "https://")):
            raise CannotPublish(
                f"WANDB_BASE_URL must start with http:// or https://, not {base_url!r}"
            )
        return cls(
            api_key=_key(given),
            base_url=base_url,
            entity=entity or given.get("WANDB_ENTITY") or None,
            project=project or given.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        )


def _key(given: Mapping[str, str]) -> str:
    found = given.get("WANDB_API_KEY") or given.get("WANDB_TOKEN") or _key_in_file(given)
    key = (found or "").strip()
    if not key:
        raise CannotPublish(
            "there is no W&B key to publish with: set WANDB_API_KEY, or write a page that needs no "
            "account with --html FILE"
        )
    return key


def _key_in_file(given: Mapping[str, str]) -> str | None:
    path = given.get("WANDB_API_KEY_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise CannotPublish(
            f"WANDB_API_KEY_FILE names {path}, which cannot be read ({why})"
        ) from None
