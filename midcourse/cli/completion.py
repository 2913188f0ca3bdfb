"""`midcourse completion`: what makes a shell complete commands, runs and parameters."""

import click
from click.shell_completion import get_completion_class

from midcourse.cli.options import Common, common

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "midcourse", "_MIDCOURSE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@common
def completion(said: Common, shell: str) -> None:  # noqa: ARG001
    """Print what makes a shell complete commands, run ids, checkpoints and live parameters.

    \b
      bash   eval "$(midcourse completion bash)"       in ~/.bashrc
      zsh    eval "$(midcourse completion zsh)"        in ~/.zshrc
      fish   midcourse completion fish > ~/.config/fish/completions/midcourse.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, PROGRAM, VARIABLE).source())
