"""`login`, `logout`, `profiles`: tokens that are kept, by URL."""

import os
import sys
from pathlib import Path

import click

from midcourse.cli.options import RETRIES, Common, common
from midcourse.cli.printing import clock, show_json, show_record, show_table
from midcourse.client import Client, UnknownName
from midcourse.client.credentials import check_url, find_url
from midcourse.client.profiles import Profiles, profiles_file, read_profiles, write_profiles


@click.command()
@click.argument("address", metavar="[URL]", required=False)
@click.option(
    "--token-file",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Read the token from a file; - is standard input.",
)
@common
def login(said: Common, address: str | None, token_file: str | None) -> None:
    """Keep a token for a control API, which becomes the default.

    The token is asked for, or read from a file, and tried; it never stands on the command line,
    where others could see it. It is kept in a file that only you can read.
    """
    url = find_url(address or said.url, os.environ)
    token = _read(token_file) if token_file else _ask(url)
    who = Client(url, token.strip(), retries=RETRIES).whoami()
    file = profiles_file(os.environ)
    write_profiles(file, read_profiles(file).with_profile(url, token.strip()))
    if said.as_json:
        show_record(who)
        return
    until = f" until {clock(who.expires_at)}" if who.expires_at else ""
    click.echo(f"You are {who.name}, {who.role}{until}, at {url}. The token is kept in {file}.")


def _ask(url: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    token: str = click.prompt(f"Token for {url}", hide_input=True, err=True)
    return token


def _read(file: str) -> str:
    return sys.stdin.readline() if file == "-" else Path(file).read_text()


@click.command()
@click.argument("address", metavar="[URL]", required=False)
@common
def logout(said: Common, address: str | None) -> None:
    """Forget the token of a control API; the default one without URL.

    The token stays good: `midcourse tokens revoke` ends one.
    """
    file = profiles_file(os.environ)
    kept = read_profiles(file)
    url = _known(kept, address or said.url or kept.default)
    write_profiles(file, kept.without(url))
    if said.as_json:
        show_json({"forgotten": url})
    else:
        click.echo(f"The token for {url} is forgotten.")


@click.command()
@click.option("--use", metavar="URL", help="Make this one the default.")
@common
def profiles(said: Common, use: str | None) -> None:
    """The control APIs that you have logged in to. The default is marked."""
    file = profiles_file(os.environ)
    kept = read_profiles(file)
    if use is not None:
        kept = Profiles(default=_known(kept, use), profiles=kept.profiles)
        write_profiles(file, kept)
    if said.as_json:
        show_json({"default": kept.default, "profiles": [*kept.profiles]})
        return
    rows = [["*" if url == kept.default else "", url] for url in kept.profiles]
    show_table(("", "URL"), rows)


def _known(kept: Profiles, url: str | None) -> str:
    """One of the URLs that are kept.

    Raises:
        UnknownName: it is none of them.
    """
    chosen = check_url(url, "URL") if url else None
    if chosen is None or chosen not in kept.profiles:
        known = ", ".join(kept.profiles) or "none"
        what = f"No token is kept for {chosen}" if chosen else "Nothing is kept"
        raise UnknownName(f"{what}; kept are: {known}. `midcourse login` keeps one.")
    return chosen
