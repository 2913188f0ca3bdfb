"""Runs that come from others: fork, replay, the tree of them."""

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from midcourse.client.transport import Transport, segment
from midcourse.client.waiting import await_run
from midcourse.contract.api.branches import ForkPreview
from midcourse.contract.api.lineage import LineageView
from midcourse.contract.api.runs import RunView


class Branches:
    """Verbs that make runs from runs."""

    _wire: Transport
    _sleep: Callable[[float], None]

    def fork(
        self,
        run: str,
        *,
        checkpoint: str | None = None,
        changes: dict[str, JsonValue] | None = None,
        config: dict[str, JsonValue] | None = None,
        name: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
    ) -> RunView:
        """A new run from a checkpoint of this one, which goes on as it is.

        Args:
            run: its id.
            checkpoint: `now`, `latest`, `best`, `initial` or `step-N`; without it `now` while the
                run is live, else `latest`.
            changes: live parameters that the fork begins with.
            config: what differs in its configuration, merged as RFC 7396 has it.
            name: for people.
            reason: why; kept with it.
            wait: seconds to wait until it trains, or is known not to.
        """
        path = f"/runs/{segment(run)}/fork"
        body = _fork(checkpoint, changes, config, name)
        query = {"reason": reason}
        made = self._wire.ask("POST", RunView, path, query=query, body=body, wait=wait)
        return await_run(self._wire, made, wait, self._sleep)

    def fork_from_wandb(
        self,
        source: str,
        *,
        changes: dict[str, JsonValue] | None = None,
        config: dict[str, JsonValue] | None = None,
        name: str | None = None,
        image: str | None = None,
        command: Sequence[str] | None = None,
        wait: float | None = None,
    ) -> RunView:
        """A new run from a checkpoint in W&B, which a run has logged there from any machine.

        Args:
            source: `entity/project/run@best`, the artifact's name, or the link of the page of
                either.
            changes: live parameters that the fork begins with.
            config: what differs in its configuration, merged as RFC 7396 has it.
            name: for people.
            image: the container image to train in, where trainers are containers.
            command: the program to train with, and its arguments, in that image.
            wait: seconds to wait until it trains, or is known not to.
        """
        given: dict[str, JsonValue | None] = {
            "source": source,
            "changes": changes or None,
            "config": config or None,
            "name": name,
            "image": image,
            "command": list(command) if command else None,
        }
        body = {key: value for key, value in given.items() if value is not None}
        made = self._wire.ask("POST", RunView, "/forks", body=body, wait=wait)
        return await_run(self._wire, made, wait, self._sleep)

    def preview_fork(
        self,
        run: str,
        *,
        checkpoint: str | None = None,
        changes: dict[str, JsonValue] | None = None,
        config: dict[str, JsonValue] | None = None,
        name: str | None = None,
    ) -> ForkPreview:
        """What a fork would be; nothing is made."""
        path = f"/runs/{segment(run)}/fork"
        body = _fork(checkpoint, changes, config, name)
        return self._wire.ask("POST", ForkPreview, path, query={"dry_run": True}, body=body)

    def replay(self, run: str, *, name: str | None = None, wait: float | None = None) -> RunView:
        """A new run that is fed this one's journal, and ends with the same bits."""
        body = {"name": name} if name else None
        path = f"/runs/{segment(run)}/replay"
        made = self._wire.ask("POST", RunView, path, body=body, wait=wait)
        return await_run(self._wire, made, wait, self._sleep)

    def lineage(self, run: str, *, flat: bool = False) -> LineageView:
        """The tree that a run belongs to; with `flat` as a list, parents before children."""
        path = f"/runs/{segment(run)}/lineage"
        return self._wire.get(LineageView, path, {"flat": flat or None})


def _fork(
    checkpoint: str | None,
    changes: dict[str, JsonValue] | None,
    config: dict[str, JsonValue] | None,
    name: str | None,
) -> dict[str, JsonValue]:
    given: dict[str, JsonValue | None] = {
        "checkpoint": checkpoint,
        "changes": changes or None,
        "config": config or None,
        "name": name,
    }
    return {key: value for key, value in given.items() if value is not None}
