"""The versions of checkpoints at W&B: named, and deleted, by its public API."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tracked_runs import RUN

from midcourse.tracking.aliases import Aliases
from midcourse.tracking.settings import TrackingSettings
from midcourse.tracking.wandb_remote import Remote


@dataclass
class Version:
    """One of an artifact, as the SDK tells of it."""

    number: int
    name: str
    users: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    is_deleted: bool = False

    @property
    def version(self) -> str:
        return f"v{self.number}"

    @property
    def metadata(self) -> dict[str, Any]:
        return {"name": self.name}

    def used_by(self) -> list[str]:
        return self.users

    def save(self) -> None:
        self.saved = list(self.aliases)

    def delete(self, *, delete_aliases: bool) -> None:
        assert delete_aliases, "one with aliases would stay"
        self.is_deleted = True


class Api:
    """As much of the SDK's as there is to ask; lists versions in any order."""

    def __init__(self, *versions: Version) -> None:
        self.versions = list(versions)

    def artifact_collection_exists(self, *_: str) -> bool:
        return True

    def artifacts(self, *_: str) -> list[Version]:
        return self.versions


def remote(*versions: Version) -> Remote:
    asked = Remote(TrackingSettings(), "us", "p", RUN)
    asked.__dict__["api"] = Api(*versions)
    return asked


@pytest.mark.parametrize("order", [1, -1])
def test_all_versions_of_a_checkpoint_go_but_those_that_are_used(order: int) -> None:
    old, used, newest = Version(0, "step-9"), Version(2, "step-9", ["rfork"]), Version(10, "step-9")
    other = Version(1, "step-19", aliases=["best"])
    remote(*[old, other, used, newest][::order]).retire("step-9")
    assert [each.is_deleted for each in (old, other, used, newest)] == [True, False, False, True]


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_version_is_given_the_aliases_that_it_lacks(order: int) -> None:
    old, newest = Version(9, "step-9"), Version(10, "step-9", aliases=["step-9", "theirs"])
    asked = remote(*[old, newest][::order])
    assert asked.name_checkpoint("step-9", ["step-9", "latest"])
    assert (old.saved, newest.saved) == ([], ["step-9", "theirs", "latest"])
    newest.saved = []
    assert asked.name_checkpoint("step-9", ["step-9", "latest"])
    assert newest.saved == [], "it has them all"
    assert not asked.name_checkpoint("step-19", ["step-19"]), "it is not there yet"


def test_an_alias_that_has_moved_on_is_not_given_back() -> None:
    first, second = Version(0, "step-9"), Version(1, "step-19")
    aliases = Aliases()
    aliases.wanted("step-9", ["step-9", "best"])
    aliases.uploaded("step-19", ["step-19", "best"])
    assert aliases.give(remote(first, second), 5.0) == []
    assert (first.saved, second.saved) == (["step-9"], [])


def test_what_could_not_be_named_is_told() -> None:
    aliases = Aliases()
    aliases.wanted("step-9", ["latest"])
    [undone] = aliases.give(remote(), 0.3)
    assert str(undone) == "checkpoint step-9 not called latest: it was not there yet"
    assert not undone.never
