"""Checking a configuration as a whole, before anything starts; and its JSON Schema."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue, ValidationError

from midcourse.catalogue.schedulers import EVALUATED
from midcourse.contract.errors import Fault, InvalidInput, faults_of
from midcourse.policies.kinds import policy_faults
from trainer.config import Choice, Config
from trainer.tasks import (
    AUGMENTATIONS,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULERS,
    Registry,
)

REGISTRIES: dict[str, Registry[Any]] = {
    "data": DATASETS,
    "model": MODELS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "scheduler": SCHEDULERS,
}
"""The sections that choose something by name, and what they choose from."""


def configure(raw: Any) -> Config:
    """Check a configuration and fill in every default, those of the chosen things too.

    Raises:
        InvalidInput: with a fault for everything that is wrong, by its dotted path.
    """
    try:
        config = Config.model_validate(raw)
        faults = []
    except ValidationError as error:
        config = None
        # Those of a policy are told below, by paths without the kind.
        faults = [each for each in faults_of(error) if not each.path.startswith("policies.")]
    settings: dict[str, Any] = {}
    for section, registry in REGISTRIES.items():
        chosen, wrong = _check_choice(section, registry, raw)
        settings[section] = chosen
        faults += wrong
    faults += _augmentation_faults(raw)
    faults += policy_faults(raw.get("policies") if isinstance(raw, Mapping) else None)
    if config is None or faults:
        raise InvalidInput(faults)
    for section, chosen in settings.items():
        plain = getattr(config, section).model_dump(include=set(_own_keys(section)))
        settings[section] = plain | chosen
    _refuse_beat_without_meaning(settings["scheduler"])
    return Config.model_validate(config.model_dump() | settings)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration, with the options of everything that is registered."""
    schema = Config.model_json_schema()
    for section, registry in REGISTRIES.items():
        definition = schema["$defs"][section.capitalize()]
        definition["properties"]["name"]["enum"] = registry.names()
        definition["anyOf"] = []
        own = dict.fromkeys(_own_keys(section), True)
        default = definition["properties"]["name"]["default"]
        for name in registry.names():
            options = registry.entry(name).options.model_json_schema()
            options.pop("title", None)
            options.pop("description", None)
            options["properties"] = own | {"name": {"const": name}} | options["properties"]
            if name != default:
                options["required"] = ["name", *options.get("required", [])]
            definition["anyOf"].append(options)
        definition.pop("additionalProperties", None)
    augmentation = schema["$defs"]["Data"]["properties"]["augmentation"]
    augmentation["properties"] = {
        name: next(
            iter(AUGMENTATIONS.entry(name).options.model_json_schema()["properties"].values())
        )
        for name in AUGMENTATIONS.names()
    }
    augmentation["additionalProperties"] = False
    return schema


def _model(section: str) -> type[Choice]:
    annotation: Any = Config.model_fields[section].annotation
    model: type[Choice] = annotation
    return model


def _own_keys(section: str) -> list[str]:
    """The keys of a section that are no options of what it chooses."""
    return list(_model(section).model_fields)


def _check_choice(
    section: str, registry: Registry[Any], raw: Any
) -> tuple[dict[str, Any], list[Fault]]:
    """Check the options of one section. What has not even the shape of one is left to `Config`."""
    given = raw.get(section, {}) if isinstance(raw, Mapping) else {}
    if not isinstance(given, Mapping):
        return {}, []
    name = given.get("name", _model(section).model_fields["name"].default)
    if not isinstance(name, str):
        return {}, []
    own = _own_keys(section)
    options = {key: value for key, value in given.items() if key not in own}
    return registry.check(name, options, section)


def _augmentation_faults(raw: Any) -> list[Fault]:
    data = raw.get("data") if isinstance(raw, Mapping) else None
    given = data.get("augmentation") if isinstance(data, Mapping) else None
    faults: list[Fault] = []
    for name, value in given.items() if isinstance(given, Mapping) else ():
        path = f"data.augmentation.{name}"
        if name not in AUGMENTATIONS:
            known = AUGMENTATIONS.names()
            message = f"no augmentation is named so. Allowed: {', '.join(known)}"
            faults.append(Fault(path=path, message=message, allowed=list(known)))
            continue
        _, wrong = AUGMENTATIONS.check(name, augmentation_options(name, value), path)
        faults += [fault.model_copy(update={"path": path}) for fault in wrong]
    return faults


def augmentation_options(name: str, value: JsonValue) -> dict[str, JsonValue]:
    """The one value of an augmentation, under the name of its parameter."""
    (option,) = AUGMENTATIONS.entry(name).options.model_fields
    return {option: value}


def _refuse_beat_without_meaning(scheduler: dict[str, Any]) -> None:
    """Refuse a `step_every` for a scheduler that has a beat of its own."""
    name = scheduler["name"]
    if name in ("constant", *EVALUATED) and scheduler["step_every"] is not None:
        when = "never steps" if name == "constant" else "steps at each evaluation"
        message = f"has no meaning here: {name} {when}. Leave it out"
        raise InvalidInput([Fault(path="scheduler.step_every", message=message)])
