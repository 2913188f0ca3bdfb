"""The tree of runs that come from one another, as a list in the order in which it is drawn."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.comparing import metric_value
from dashboards.records import Run
from dashboards.words import changes, number


@dataclass(frozen=True, eq=False)
class Branch:
    """One run in the tree."""

    id: str
    run: Run | None
    """None: others come from it, and it is not here, as it was deleted or is of another
    experiment."""
    parent: str | None
    """The run that has the checkpoint from which it started; None: it began anew."""
    depth: int
    """How many runs lie between it and the root, itself included; 0 of the root."""


def lineage(runs: Sequence[Run]) -> list[Branch]:
    """All branches, each behind its parent; those of one parent in the order of their branching.

    Files that name each other as parents make no endless tree: the first of them counts as a root.
    """
    by_id: dict[str, Run | None] = {run.id: run for run in runs}
    children: dict[str | None, list[str]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: -1 if run.branched_at is None else run.branched_at):
        parent = None if run.origin is None else run.origin.run
        if parent is not None and parent not in by_id:
            by_id[parent] = None
            children[None].append(parent)
        children[parent].append(run.id)
    found: dict[str, Branch] = {}
    for root in (*children[None], *by_id):
        waiting: list[tuple[str, str | None, int]] = [(root, None, 0)]
        while waiting:
            run_id, parent_id, depth = waiting.pop()
            if run_id in found:
                continue
            found[run_id] = Branch(run_id, by_id[run_id], parent_id, depth)
            waiting += [(child, run_id, depth + 1) for child in reversed(children[run_id])]
    return list(found.values())


def told(branch: Branch, metric: str | None) -> str:
    """How a run of the tree stands and how it began: `finished · forked after step 5 · lr = 0.1`.

    Args:
        branch: in the tree.
        metric: whose best value is told, too; None: of none.
    """
    run = branch.run
    if run is None:
        return "not here"
    parts = [run.status.value]
    if metric is not None and (value := metric_value(run, metric)) is not None:
        parts.append(f"{metric} {number(value)}")
    if run.origin is not None:
        verb = "went on" if run.origin.revert else "forked"
        point = f"after step {run.branched_at}" if run.branched_at != -1 else "before step 0"
        parts.append(f"{verb} {point}")
        if run.origin.warm_start:
            parts.append("with another configuration")
        if run.origin.changes:
            parts.append(changes(run.origin.changes))
    return " · ".join(parts)
