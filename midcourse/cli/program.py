"""`--image` and `--command`: what a run trains with, where trainers are containers."""

import shlex
from typing import Any

import click

image_option = click.option("--image", metavar="IMAGE", help="The container image to train in.")


def _words(_: click.Context, option: click.Parameter, said: Any) -> list[str] | None:
    """As a shell would take them."""
    try:
        return None if said is None else shlex.split(said)
    except ValueError as error:
        raise click.BadParameter(f"{error}: {said}", param=option) from None


command_option = click.option(
    "--command",
    metavar="WORDS",
    callback=_words,
    help="The program to train with in it, such as 'python my.py {params}'.",
)
