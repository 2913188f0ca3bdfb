"""`midcourse tree`: where runs come from, drawn."""

from collections.abc import Iterator

import click
from rich.text import Text
from rich.tree import Tree

from midcourse.cli.options import Common, common, run_argument
from midcourse.cli.printing import STYLES, console, number, show_record, value
from midcourse.contract.api.lineage import ListedBranch
from midcourse.contract.names import Metric


@click.command()
@run_argument
@common
def tree(said: Common, run: str) -> None:
    """The tree that a run belongs to, with the checkpoint and the changes of each branch.

    It begins with the first ancestor. The run itself is marked with a star.
    """
    client = said.client
    lineage = client.lineage(client.find(run), flat=True)
    if said.as_json:
        show_record(lineage)
        return
    drawn: dict[str, Tree] = {}
    for node in lineage.nodes or []:
        label = _label(node, lineage.run)
        above = drawn.get(node.parent or "")
        drawn[node.id] = above.add(label) if above else Tree(label, guide_style="dim")
    if root := drawn.get(lineage.root):
        console().print(root)


def _label(node: ListedBranch, marked: str) -> Text:
    label = Text(f"{'* ' if node.id == marked else ''}{node.id}", style="bold")
    label.append(f" {node.status}", style=f"not bold {STYLES.get(node.status, '')}")
    for word in _words(node):
        label.append(f"  {word}", style="not bold")
    return label


def _words(node: ListedBranch) -> Iterator[str]:
    """What sets a branch apart, and how far it came."""
    if node.deleted_at is not None:
        yield "deleted"
    if node.name:
        yield f"({node.name})"
    origin = node.origin
    if origin is not None:
        where = origin.checkpoint or "a checkpoint to come"
        yield f"{'reverted to' if origin.revert else 'forked at'} {where}"
        yield from (f"{name}={value(new)}" for name, new in origin.changes.items())
        if origin.warm_start:
            yield "with another configuration"
    if node.step is not None:
        yield f"step {node.step}"
    accuracy = node.metrics.get(Metric.TEST_ACCURACY)
    if accuracy is not None:
        yield f"{Metric.TEST_ACCURACY} {number(accuracy)}"
