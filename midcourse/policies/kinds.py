"""The kinds of policies, and making policies of a configuration."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationError

from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.policies.guard import Guard
from midcourse.policies.non_finite import NonFinite, NonFiniteSettings
from midcourse.policies.plateau import Plateau, PlateauSettings
from midcourse.policies.policy import Policy, Settings
from midcourse.policies.spike import Spike, SpikeSettings
from midcourse.policies.stopping import EarlyStop, EarlyStopSettings, Target, TargetSettings

AnySettings = Annotated[
    NonFiniteSettings | SpikeSettings | PlateauSettings | EarlyStopSettings | TargetSettings,
    Field(discriminator="kind"),
]
"""One policy in a configuration."""

KINDS: dict[str, tuple[type[Settings], Callable[[Any], Policy]]] = {
    "non_finite": (NonFiniteSettings, NonFinite),
    "spike": (SpikeSettings, Spike),
    "plateau": (PlateauSettings, Plateau),
    "early_stop": (EarlyStopSettings, EarlyStop),
    "target": (TargetSettings, Target),
}
"""By the name in a configuration: what may be set, and what is made of it."""


def make_guard(policies: Sequence[Mapping[str, Any] | Policy], path: str = "policies") -> Guard:
    """The guard of a run.

    Args:
        policies: in the order in which they act at one boundary; each as plain data, or an object.
        path: where they stand, for faults.

    Raises:
        InvalidInput: with everything that is wrong, by its path.
    """
    made, faults = [], []
    for index, each in enumerate(policies):
        if isinstance(each, Policy):
            made.append(each)
            continue
        settings, wrong = _check_one(each, f"{path}.{index}")
        faults += wrong
        if settings is not None:
            made.append(KINDS[settings.kind][1](settings))
    if not faults:
        faults = _same_names([policy.name for policy in made], path)
    if faults:
        raise InvalidInput(faults)
    return Guard(made)


def policy_faults(policies: Any, path: str = "policies") -> list[Fault]:
    """What is wrong with policies as plain data. That they are no list is left to the caller."""
    if not isinstance(policies, list):
        return []
    try:
        make_guard(policies, path)
    except InvalidInput as error:
        return error.faults
    return []


def _check_one(given: Any, path: str) -> tuple[Settings | None, list[Fault]]:
    if not isinstance(given, Mapping):
        message = f"must be an object such as {{'kind': 'non_finite', …}}, not {given!r:.60}"
        return None, [Fault(path=path, message=message)]
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = "is missing" if kind is None else "is no kind of policy"
        message = f"{what}.{_near(kind, KINDS)}"
        return None, [Fault(path=f"{path}.kind", message=message, allowed=list(KINDS))]
    model = KINDS[kind][0]
    known = list(model.model_fields)
    faults = [
        Fault(
            path=f"{path}.{key}",
            message=f"is not a setting of the policy {kind}.{_near(key, known)}",
            allowed=_plain(known),
        )
        for key in given
        if key not in known
    ]
    try:
        settings = model.model_validate({key: given[key] for key in given if key in known})
    except ValidationError as error:
        return None, faults + faults_of(error, path)
    return settings, faults


def _near(word: Any, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else []
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{hint} Allowed: {', '.join(known)}"


def _plain(names: Sequence[str]) -> JsonValue:
    return list(names)


def _same_names(names: Sequence[str], path: str) -> list[Fault]:
    return [
        Fault(
            path=f"{path}.{index}.name",
            message=f"an earlier policy is named {name}, too; give each a name of its own, by "
            "which its commands are known",
        )
        for index, name in enumerate(names)
        if name in names[:index]
    ]
