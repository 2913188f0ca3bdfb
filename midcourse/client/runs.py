"""Runs: submitting, finding, looking, keeping order."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypedDict, Unpack

from pydantic import JsonValue

from midcourse.client.errors import AmbiguousName, UnknownName
from midcourse.client.transport import Transport, segment
from midcourse.client.waiting import await_run
from midcourse.contract.api.actions import ActionName, ActionsAnswer
from midcourse.contract.api.experiments import ExperimentsView, ExperimentView
from midcourse.contract.api.metrics import MetricsAnswer
from midcourse.contract.api.reports import ReportView
from midcourse.contract.api.runs import Deletion, RunsAnswer, RunView
from midcourse.contract.api.slots import SlotsView
from midcourse.contract.api.submissions import SweepView
from midcourse.contract.api.sync import SyncView
from midcourse.contract.names import RUN_ID_PATTERN
from midcourse.contract.runs import RunStatus

_WHOLE_ID = re.compile(r"r[23456789bcdfghjkmnpqrstvwxz]{8}")
"""An id as the control API makes them: nothing need be looked up."""
_TOLD = 10
"""How many candidates an ambiguous name is told with."""


class Filter(TypedDict, total=False):
    """Which runs are meant; they must meet all of it."""

    status: str | Sequence[str] | None
    experiment: str | None
    tag: str | None
    sweep: str | None
    parent: str | None
    prefix: str | None
    """Those whose id begins so."""
    archived: str | bool | None
    """`false` (as without it), `true` or `any`."""
    where: str | None
    """Conditions with commas between, such as `metrics.test/accuracy>=0.9,step>100`."""


class Submission(TypedDict, total=False):
    """What may be said beside a configuration."""

    experiment: str | None
    name: str | None
    priority: int | None
    tags: Sequence[str] | None
    notes: str | None
    image: str | None
    """The container image to train in, where trainers are containers."""
    command: Sequence[str] | None
    """The program to train with in it; `{params}` is the path of the configuration."""
    wait: float | None
    """Seconds to wait until it trains, or is known not to."""


class Runs:
    """Verbs about runs as a whole."""

    _wire: Transport
    _sleep: Callable[[float], None]

    def submit(self, config: dict[str, JsonValue], **said: Unpack[Submission]) -> RunView:
        """Queue a run.

        Args:
            config: the trainer's parameters.
            said: see `Submission`.
        """
        wait = said.pop("wait", None)
        run = self._wire.ask("POST", RunView, "/runs", body=_body(said, config=config), wait=wait)
        return await_run(self._wire, run, wait, self._sleep)

    def sweep(
        self,
        config: dict[str, JsonValue] | None = None,
        *,
        grid: dict[str, list[JsonValue]] | None = None,
        configs: Sequence[dict[str, JsonValue]] | None = None,
        **said: Unpack[Submission],
    ) -> SweepView:
        """Queue many runs: all of them, or none.

        Args:
            config: what they have in common.
            grid: places in the configuration and the values to try there, such as
                `{"optimizer.lr": [0.1, 0.01]}`: a run for every combination.
            configs: a run for each, merged into `config` as RFC 7396 has it.
            said: see `Submission`.
        """
        wait = said.pop("wait", None)
        more = {"config": config, "grid": grid, "configs": list(configs) if configs else None}
        return self._wire.ask("POST", SweepView, "/runs", body=_body(said, **more), wait=wait)

    def slots(self) -> SlotsView:
        """The places in which runs train, and the runs that wait for one."""
        return self._wire.get(SlotsView, "/slots")

    def unsent(self) -> SyncView:
        """What is not in W&B yet of runs that nobody trains any more."""
        return self._wire.get(SyncView, "/sync")

    def sync(self) -> SyncView:
        """Have the control API try to send that now."""
        return self._wire.ask("POST", SyncView, "/sync")

    def runs(
        self,
        *,
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        **wanted: Unpack[Filter],
    ) -> RunsAnswer:
        """A page of runs.

        Args:
            sort: fields with commas between, `-` before one for descending.
            limit: how many, 500 at most.
            cursor: `next_cursor` of the page before.
            wanted: see `Filter`.
        """
        query = {**wanted, "sort": sort, "limit": limit, "cursor": cursor}
        return self._wire.get(RunsAnswer, "/runs", query)

    def all_runs(self, *, sort: str | None = None, **wanted: Unpack[Filter]) -> Iterator[RunView]:
        """The same, page after page."""
        cursor = None
        while True:
            page = self.runs(sort=sort, limit=500, cursor=cursor, **wanted)
            yield from page.runs
            cursor = page.next_cursor
            if cursor is None:
                return

    def experiments(self, *, archived: str | None = None) -> list[ExperimentView]:
        """The experiments, and how their runs stand; the one with the latest activity first.

        Args:
            archived: which runs count: `false` (as without it), `true` or `any`.
        """
        answer = self._wire.get(ExperimentsView, "/experiments", {"archived": archived})
        return answer.experiments

    def report(self, experiment: str) -> ReportView:
        """Whether an experiment's pages are published in W&B, and where they are.

        Raises:
            Refused: `unknown-report` where nobody has published them yet.
        """
        return self._wire.get(ReportView, f"/experiments/{segment(experiment)}/report")

    def publish_report(self, experiment: str, *, wait: float | None = None) -> ReportView:
        """Publish an experiment's pages in W&B, or change those that are there.

        Args:
            experiment: its name.
            wait: seconds to wait for the links, 60 at most; without it, it goes on meanwhile.

        Raises:
            Refused: `no-wandb-key`; or `report-not-published`, where it was waited for.
        """
        path = f"/experiments/{segment(experiment)}/report"
        return self._wire.ask("POST", ReportView, path, wait=wait)

    def run(self, run: str) -> RunView:
        """One run, by its id."""
        return self._wire.get(RunView, f"/runs/{segment(run)}")

    def find(self, name: str) -> str:
        """The id of the run that goes by a name, or whose id begins so.

        Raises:
            UnknownName: there is none.
            AmbiguousName: there are several; a whole id is never ambiguous.
        """
        if _WHOLE_ID.fullmatch(name):
            return name
        found: dict[str, RunView] = {}
        if re.fullmatch(RUN_ID_PATTERN, name):
            page = self.runs(prefix=name, archived="any", limit=_TOLD)
            found = {run.id: run for run in page.runs}
            if name in found:
                return name
        named = self.runs(where=f"name={json.dumps(name)}", archived="any", limit=_TOLD)
        # After an undo or a revert the name is that of the run that goes on.
        going_on = [run for run in named.runs if run.status is not RunStatus.SUPERSEDED]
        found |= {run.id: run for run in going_on or named.runs}
        if not found:
            raise UnknownName(
                f"There is no run {name!r}: give its id, a unique beginning of it, or its name; "
                "`midcourse runs` lists them."
            )
        if len(found) > 1:
            told = ", ".join(
                f"{run.id}{f' ({run.name})' if run.name else ''}" for run in found.values()
            )
            raise AmbiguousName(f"{name!r} may be any of {told}: give more of the id.", [*found])
        return next(iter(found))

    def edit(self, run: str, **changes: JsonValue) -> RunView:
        """Change what people keep of a run: `name`, `notes`, `tags`, `priority`, `archived`.

        What is not named stays as it is.
        """
        return self._wire.ask("PATCH", RunView, f"/runs/{segment(run)}", body=changes)

    def delete(self, run: str, *, dry_run: bool = False) -> Deletion:
        """Delete an ended run, and all of its files that no other run needs.

        Args:
            run: its id.
            dry_run: only say what would go.
        """
        query = {"dry_run": dry_run or None}
        return self._wire.ask("DELETE", Deletion, f"/runs/{segment(run)}", query=query)

    def act(
        self,
        action: ActionName,
        filter: Filter,  # noqa: A002
        *,
        changes: dict[str, JsonValue] | None = None,
        tags: Sequence[str] | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        wait: float | None = None,
    ) -> ActionsAnswer:
        """Do the same to all runs that a filter means. Each answers for itself.

        Args:
            action: such as `pause`, `set` or `archive`.
            filter: which runs; `{}` means all that are not archived.
            changes: what `set` sets.
            tags: what `tag` adds and `untag` takes away.
            reason: why; kept with each command.
            dry_run: only say which runs it would reach, and which would refuse.
            wait: seconds to wait for the receipts of all.
        """
        meant = {name: _words(value) for name, value in filter.items() if value is not None}
        body = {
            "filter": meant,
            "action": action,
            **({"changes": changes} if changes else {}),
            **({"tags": list(tags)} if tags else {}),
            **({"reason": reason} if reason else {}),
        }
        query = {"dry_run": dry_run or None}
        return self._wire.ask(
            "POST", ActionsAnswer, "/runs/actions", query=query, body=body, wait=wait
        )

    def metrics(
        self,
        run: str,
        keys: Sequence[str] = (),
        *,
        max_points: int | None = None,
        since_step: int | None = None,
        until_step: int | None = None,
        limit: int | None = None,
    ) -> MetricsAnswer:
        """What a run logged.

        Args:
            run: its id.
            keys: names; all without it.
            max_points: each series in at most so many points, the extremes among them.
            since_step: only steps from this one on.
            until_step: only steps up to this one.
            limit: the most points of each series on a page; not together with `max_points`.
        """
        names = ",".join(key.replace("\\", "\\\\").replace(",", "\\,") for key in keys)
        query = {
            "keys": names or None,
            "max_points": max_points,
            "since_step": since_step,
            "until_step": until_step,
            "limit": limit,
        }
        return self._wire.get(MetricsAnswer, f"/runs/{segment(run)}/metrics", query)


def _words(value: Any) -> Any:
    """Several statuses as one text, as the API takes them."""
    return value if isinstance(value, str | bool) else ",".join(value)


def _body(said: Submission, **more: Any) -> dict[str, Any]:
    tags = said.pop("tags", None)
    given = {**more, **said, "tags": list(tags) if tags else None}
    return {key: value for key, value in given.items() if value is not None}
