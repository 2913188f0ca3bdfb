"""`midcourse set`: change live parameters."""

from typing import Any

import click
from click.shell_completion import CompletionItem
from pydantic import JsonValue

from midcourse.cli.options import Common, asking, common, run_argument, waiting
from midcourse.cli.receipts import tell_command
from midcourse.cli.values import parse_changes
from midcourse.contract.api.params import ParametersAnswer


class Change(click.ParamType):  # type: ignore[type-arg]
    """`name=value`; the shell completes names."""

    name = "name=value"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem[Any]]":
        """The live parameters of the run that is named before."""
        from midcourse.cli.completing import complete_changes

        return complete_changes(ctx, incomplete)


CHANGE = Change()


@click.command("set")
@run_argument
@click.argument("changes", nargs=-1, required=True, type=CHANGE, metavar="NAME=VALUE...")
@click.option(
    "--mode",
    type=click.Choice(["rebase", "override", "scale"]),
    help="How a learning rate is meant: the schedule's new base, a fixed rate, or a factor.",
)
@click.option(
    "--way",
    "ways",
    multiple=True,
    metavar="WORD=ANSWER",
    help="Any other way of a parameter, such as state=carry; see `midcourse params`.",
)
@click.option(
    "--if-revision",
    "revision",
    type=int,
    metavar="N",
    help="Refuse if anything has changed since revision N of the parameters.",
)
@asking
@waiting
@common
def set_values(
    said: Common,
    run: str,
    changes: tuple[str, ...],
    mode: str | None,
    ways: tuple[str, ...],
    revision: int | None,
    wait: float | None,
    **asked: Any,
) -> None:
    """Change live parameters of a run: all of them, or none.

    Values are JSON where they are JSON, else strings: 1e-4, true, null, '[0.9, 0.99]', adamw.

    \b
      midcourse set r7x optimizer.lr=1e-4 --reason "loss is noisy"
      midcourse set r7x optimizer.lr=0.5 --mode scale
      midcourse set r7x optimizer.name=adamw optimizer.lr=1e-3 --at-epoch 3
    """
    client = said.client
    run_id = client.find(run)
    wanted = parse_changes(changes)
    answers = parse_changes(ways)
    if mode is not None:
        answers["mode"] = mode
    if answers:
        wanted = _meant(wanted, answers, client.params(run_id))
    command = client.set(run_id, wanted, revision=revision, wait=wait, **asked)
    tell_command(said, command, wait)


def _meant(
    changes: dict[str, JsonValue], answers: dict[str, JsonValue], declared: ParametersAnswer
) -> dict[str, JsonValue]:
    """The changes, with each answer beside the values of those parameters that know the word.

    Raises:
        click.UsageError: none of them knows it.
    """
    meant = dict(changes)
    for word, answer in answers.items():
        fitting = [name for name in changes if word in _ways(declared, name)]
        if not fitting:
            known = sorted({way for name in changes for way in _ways(declared, name)})
            there = f"; there is: {', '.join(known)}" if known else ""
            raise click.UsageError(f"{', '.join(changes)}: nothing here takes {word}{there}.")
        for name in fitting:
            before = meant[name]
            beside = before if isinstance(before, dict) else {"value": before}
            meant[name] = {**beside, word: answer}
    return meant


def _ways(declared: ParametersAnswer, name: str) -> list[str]:
    """The words that may stand beside a parameter's value, as its schema has them."""
    properties: Any = declared.parameters_schema.get("properties", {})
    forms: list[Any] = properties.get(name, {}).get("anyOf", [])
    return [
        word
        for form in forms
        if "value" in form.get("properties", {})
        for word in form["properties"]
        if word != "value"
    ]
