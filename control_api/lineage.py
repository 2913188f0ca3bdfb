"""The tree of runs that come from one another, the deleted ones among them.

Two queries, whatever its depth, and no recursion in Python: a policy may revert a run a thousand
times.
"""

import json
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, load_only

from control_api.lifecycle import get_run
from control_api.tables import RunRow
from midcourse.contract.api.lineage import Branch, BranchPoint, LineageView, ListedBranch
from midcourse.contract.names import checkpoint_step

_SHOWN = (
    RunRow.id,
    RunRow.name,
    RunRow.status,
    RunRow.experiment,
    RunRow.step,
    RunRow.created_by,
    RunRow.created_at,
    RunRow.deleted_at,
    RunRow.parent_id,
    RunRow.parent_checkpoint,
    RunRow.checkpoint_run,
    RunRow.changes,
    RunRow.warm_start,
    RunRow.reverts,
    RunRow.latest,
)


@dataclass(frozen=True)
class Lineage:
    """The runs of one tree by their parents' ids, the oldest first."""

    run: str
    root: RunRow
    children: dict[str, list[RunRow]]

    def as_list(self) -> LineageView:
        """Parents before their children, each followed by all that comes from it."""
        nodes = []
        waiting = [(self.root, 0)]
        while waiting:
            run, depth = waiting.pop()
            branch = dict(_branch(run))
            nodes.append(ListedBranch(**branch, parent=run.parent_id, depth=depth))
            waiting += [(child, depth + 1) for child in reversed(self._of(run))]
        return LineageView(root=self.root.id, run=self.run, tree=None, nodes=nodes)

    def as_tree(self) -> str:
        """A `LineageView` as JSON. Written by hand: what does it for models cannot go as deep."""
        parts = [f'{{"root":{json.dumps(self.root.id)},"run":{json.dumps(self.run)},"tree":']
        waiting: list[RunRow | str] = [self.root]
        while waiting:
            run = waiting.pop()
            if isinstance(run, str):
                parts.append(run)
                continue
            parts.append(_branch(run).model_dump_json()[:-1] + ',"children":[')
            waiting.append("]}")
            for number, child in enumerate(reversed(self._of(run))):
                waiting += [",", child] if number else [child]
        return "".join([*parts, ',"nodes":null}\n'])

    def _of(self, run: RunRow) -> list[RunRow]:
        return self.children.get(run.id, [])


def lineage_of(session: Session, run_id: str) -> Lineage:
    """The whole tree that a run belongs to.

    Raises:
        UnknownRun, RunDeleted: there is none of that id.
    """
    get_run(session, run_id)
    rows = session.scalars(_with_descendants(_root_of(run_id))).all()
    children: dict[str, list[RunRow]] = defaultdict(list)
    root = None
    for row in rows:
        if row.parent_id is None:
            root = row
        else:
            children[row.parent_id].append(row)
    assert root is not None
    return Lineage(run_id, root, children)


def _root_of(run_id: str) -> Select[str]:
    """The id of the oldest run that a run comes from."""
    start = select(RunRow.id, RunRow.parent_id).where(RunRow.id == run_id)
    up = start.cte("ancestors", recursive=True)
    up = up.union(select(RunRow.id, RunRow.parent_id).join(up, RunRow.id == up.c.parent_id))
    return select(up.c.id).where(up.c.parent_id.is_(None))


def _with_descendants(root: Select[str]) -> Select[RunRow]:
    start = select(RunRow.id).where(RunRow.id == root.scalar_subquery())
    down = start.cte("descendants", recursive=True)
    down = down.union(select(RunRow.id).join(down, RunRow.parent_id == down.c.id))
    return (
        select(RunRow)
        .options(load_only(*_SHOWN, raiseload=True))
        .join(down, RunRow.id == down.c.id)
        .order_by(RunRow.created_at, RunRow.id)
    )


def _branch(run: RunRow) -> Branch:
    return Branch.model_validate(
        {
            "id": run.id,
            "name": run.name,
            "status": run.status,
            "experiment": run.experiment,
            "step": run.step,
            "created_at": run.created_at,
            "deleted_at": run.deleted_at,
            "origin": _branch_point(run),
            "metrics": {name: value for name, (_, value) in sorted(run.latest.items())},
        }
    )


def _branch_point(run: RunRow) -> BranchPoint | None:
    if run.parent_id is None:
        return None
    checkpoint = run.parent_checkpoint
    return BranchPoint(
        run=run.checkpoint_run or run.parent_id,
        checkpoint=checkpoint,
        step=None if checkpoint is None else checkpoint_step(checkpoint),
        changes=run.changes,
        warm_start=run.warm_start,
        actor=run.created_by,
        revert=run.reverts,
    )
