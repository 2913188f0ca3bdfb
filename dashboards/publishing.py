"""`python -m dashboards publish`: all pages of an experiment, saved in W&B.

Those of one home are published one at a time.
"""

import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from dashboards.account import Account
from dashboards.made import Made, Wanted, make_all
from midcourse.contract.base import Record

LOCK = "publishing.lock"
"""In the home: held while its pages are being published."""


class Link(Record):
    """A page where people find it."""

    title: str
    url: str


class Publication(Record):
    """What was published, as `--json` prints it."""

    links: list[Link]
    notes: list[str] = Field(default_factory=list)
    """What people should know, in sentences."""


def publish(home: Path, wanted: Wanted, account: Account) -> Publication:
    """Publish the page that is wanted; of an experiment, all of its pages.

    Args:
        home: the folder of all runs.
        wanted: what.
        account: whose key, and the project.

    Raises:
        NothingToShow: no such experiment or run logged anything, or the run is no fork.
        CannotPublish: W&B cannot be reached, refuses the key, or has no run of it.
    """
    with _our_turn(home):
        making = make_all(home, wanted)
        # Only now: this loads W&B's packages, which those who write a file need not have.
        from dashboards.wandb_views.publish import Publisher

        publisher = Publisher(account, home)
        notes = [*making.notes, *_not_there(publisher.not_there(making.runs), making.pages)]
        links = []
        for made in (*making.pages, *filter(publisher.has_news, making.older)):
            published = publisher.publish(made)
            links.append(Link(title=published.title, url=published.link))
            notes += published.notes
    return Publication(links=links, notes=notes)


@contextmanager
def _our_turn(home: Path) -> Iterator[None]:
    """Wait until nobody else publishes: of two that find no page, each would make one."""
    try:
        lock = (home / LOCK).open("a")
    except OSError:  # it may be read only; then nobody can take turns
        yield
        return
    with lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tell(publication: Publication, *, as_json: bool) -> None:
    """Print the links, a line each; what else there is to know goes to standard error."""
    if as_json:
        sys.stdout.write(f"{publication.to_json()}\n")
        return
    for link in publication.links:
        sys.stdout.write(f"{link.title}: {link.url}\n")
    for note in publication.notes:
        sys.stderr.write(f"{note}\n")


def _not_there(missing: Sequence[str], pages: Sequence[Made]) -> list[str]:
    if not missing or not pages:
        return []
    return [
        f"not in W&B's project yet, so that their curves are missing: {', '.join(missing)}; "
        "`midcourse sync` sends what runs have logged"
    ]
