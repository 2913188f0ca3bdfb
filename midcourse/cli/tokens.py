"""`tokens` and `whoami`: who may do what."""

import re

import click

from midcourse.cli.options import Common, common
from midcourse.cli.printing import ago, clock, show_facts, show_record, show_table
from midcourse.contract.api.tokens import TokensAnswer, TokenView
from midcourse.contract.roles import Role

_UNITS = {"m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0}
"""In days."""


@click.group()
def tokens() -> None:
    """Make, list and revoke tokens. An admin's token is needed."""


@tokens.command("make")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What it may do.",
)
@click.option("--expires", metavar="30d", help="How long it is good, in m, h, d or w; else always.")
@common
def make(said: Common, name: str, role: str, expires: str | None) -> None:
    """Make a token for NAME, which its commands are signed with; it is told this once.

    A viewer looks, an operator steers runs, an admin launches, deletes and manages tokens.
    """
    days = None if expires is None else _days(expires)
    made = said.client.make_token(name, role, expires_in_days=days)
    if said.as_json:
        show_record(made)
        return
    until = f" until {clock(made.expires_at)}" if made.expires_at else ""
    click.echo(f"{made.name} is {made.role}{until}. The token, told this once:", err=True)
    click.echo(made.token)


def _days(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if found is None:
        raise click.UsageError(f"--expires must be a time such as 30d, 12h or 8w, not {text!r}.")
    return int(found[1]) * _UNITS[found[2]]


@tokens.command("list")
@click.option("--ended", is_flag=True, help="Also those that were revoked or have expired.")
@common
def list_tokens(said: Common, ended: bool) -> None:
    """The tokens that are good."""
    found = said.client.tokens(ended=ended)
    if said.as_json:
        show_record(TokensAnswer(tokens=found))
        return
    heads = ("NAME", "ROLE", "AGE", "MADE BY", "EXPIRES", "ENDED")
    show_table(heads, [_row(one) for one in found])


def _row(token: TokenView) -> list[str]:
    return [
        token.name,
        str(token.role),
        ago(token.created_at),
        token.created_by or "",
        clock(token.expires_at),
        clock(token.ended_at),
    ]


@tokens.command("revoke")
@click.argument("name")
@common
def revoke(said: Common, name: str) -> None:
    """End a token at once."""
    ended = said.client.revoke_token(name)
    if said.as_json:
        show_record(ended)
    else:
        click.echo(f"{ended.name}: revoked")


@click.command()
@common
def whoami(said: Common) -> None:
    """Whom your token speaks for, and what it may do."""
    found = said.client.whoami()
    if said.as_json:
        show_record(found)
        return
    show_facts(
        [
            ("name", found.name),
            ("role", str(found.role)),
            ("expires", clock(found.expires_at)),
            ("API", said.client.url),
            ("token from", said.client.token_source),
        ]
    )
