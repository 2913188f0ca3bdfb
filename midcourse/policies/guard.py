"""The guard: a run's policies, as a source of its own commands."""

import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch

from midcourse.checkpoints.store import CheckpointStore
from midcourse.contract.commands import Pause, Revert, Stop, Suspend, Undo
from midcourse.own_commands import Proposal
from midcourse.policies.policy import Policy

if TYPE_CHECKING:
    from midcourse.engine import Engine

_HOLDING = (Pause, Stop, Suspend, Revert, Undo)
"""After one of these, what else was to be done at the boundary is dropped."""
_REASON_LENGTH = 2000


class Guard:
    """Shows each policy the values it watches, and asks those that found a reason to act.

    Every reason gets a number when it is found. It stays in the state until the next value is
    seen, also once it was acted upon: a checkpoint that is taken in between must not forget what
    is not in the journal yet. The journal knows the numbers of what has acted, so a redo does not
    act twice.
    """

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Guard a run by policies with different names, in this order."""
        self._policies = list(policies)
        self._run: Engine
        self._numbers = 0
        self._found: list[tuple[int, str, str]] = []
        """Number, name of the policy, and why; all of one step."""
        self._found_at: tuple[str, int] = ("", -1)
        """The run and the step of `_found`."""
        self._next = 0
        """Which of `_found` is asked next."""
        self._heard: set[str] = set()
        """The policies that have seen a value."""
        self._fresh = {policy.name: policy.state_dict() for policy in policies}

    def bind(self, run: "Engine") -> Self:
        """Say whose guard it is."""
        self._run = run
        return self

    # -- in the loop --------------------------------------------------------------------------

    def watch(self, step: int, values: Mapping[str, Any]) -> bool:
        """Show the policies what is logged; True if one has found a reason to act.

        A value that a policy reads is waited for, if it is on a device. What is logged for another
        step than the one in progress is not looked at.
        """
        run, read = self._run, {}
        if step != run.current_step:
            return False
        found = False
        for policy in self._policies:
            metric = policy.metric
            if metric not in values or not run.due(policy.every):
                continue
            if metric not in read:
                read[metric] = _number(values[metric])
            value = read[metric]
            if value is None:
                continue
            self._heard.add(policy.name)
            why = policy.see(step, value, run)
            if why is not None:
                self._note(step, policy.name, why)
                found = True
        return found

    def _note(self, step: int, name: str, why: str) -> None:
        at = (self._run.id, step)
        if self._found_at != at:
            self._found_at, self._found, self._next = at, [], 0
        self._numbers += 1
        self._found.append((self._numbers, name, why))

    def say_unheard(self) -> None:
        """Tell people of policies that had nothing to watch: their metric may be misspelt."""
        for policy in self._policies:
            if policy.name not in self._heard:
                message = (
                    f"the policy {policy.name} did nothing: no number was logged as "
                    f"{policy.metric} at a step that completes {policy.every}"
                )
                self._run.branch.recorder.record(self._run.notice(message))

    # -- at the boundary ----------------------------------------------------------------------

    def next_step(self) -> int | None:
        """The step in progress, if a policy has found a reason to act."""
        return self._found_at[1] if self._next < len(self._found) else None

    def take(self, step: int) -> Proposal | None:
        """What the next policy that found a reason at this step proposes.

        What was found in another run, from whose checkpoint this one goes on, is left out: what
        acted at the boundary of a checkpoint comes after it.
        """
        policies = {policy.name: policy for policy in self._policies}
        while self._next < len(self._found):
            number, name, why = self._found[self._next]
            self._next += 1
            if self._found_at != (self._run.id, step) or name not in policies:
                continue
            policy = policies[name]
            proposed = policy.propose(why, self._run)
            if proposed is None:
                continue
            action, reason = proposed
            if isinstance(action, _HOLDING):
                self._next = len(self._found)
            return Proposal(number, action, policy.actor, reason[:_REASON_LENGTH])
        return None

    # -- checkpoints --------------------------------------------------------------------------

    def wanted_checkpoints(self, store: CheckpointStore) -> set[str]:
        """Those that retention must leave alone; asked on the checkpoint writer's thread."""
        return {
            name
            for policy in self._policies
            for name in policy.wanted_checkpoints(store, self._run)
        }

    def state_dict(self) -> dict[str, Any]:
        """All that the policies have seen and found."""
        run, step = self._found_at
        return {
            "numbers": self._numbers,
            "found": [list(each) for each in self._found],
            "found_at": [run, step] if self._found else None,
            "heard": sorted(self._heard),
            "policies": {
                policy.name: {"kind": type(policy).__name__, "state": policy.state_dict()}
                for policy in self._policies
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. A policy that the state does not know begins afresh.

        A fork may have other policies than its parent; and the parent may have had none.
        """
        known = state.get("policies", {})
        for policy in self._policies:
            own = known.get(policy.name)
            same = own is not None and own["kind"] == type(policy).__name__
            policy.load_state_dict(own["state"] if same else self._fresh[policy.name])
        self._numbers = state.get("numbers", 0)
        self._heard = set(state.get("heard", []))
        self._found = [(number, name, why) for number, name, why in state.get("found", [])]
        run, step = state.get("found_at") or ("", -1)
        self._found_at, self._next = (run, step), 0


def _number(value: Any) -> float | None:
    """A logged value as a number; None for a picture or a table."""
    if isinstance(value, torch.Tensor):
        return float(value.detach().item())
    return float(value) if isinstance(value, numbers.Real) else None
