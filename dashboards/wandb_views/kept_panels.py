"""A workspace that is there, with our panels as they are now, and all that people did to it."""

from copy import deepcopy
from typing import Any

from dashboards.wandb_views.marks import is_own

Spec = dict[str, Any]
"""A workspace as W&B keeps it."""


def with_ours(found: Spec, fresh: Spec) -> Spec:
    """The workspace as it is to be saved.

    Of what is there, our panels alone change, each where it stands now: people may have moved it.
    New ones stand behind the last of ours in their section, and those that are no more go. Panels
    and sections of others, their order, and every setting stay; so does what people set in a panel
    of ours and we do not say ourselves, such as its smoothing.

    Args:
        found: as the server has it.
        fresh: as we would make it anew.
    """
    merged = deepcopy(found)
    sections = _sections(merged)
    to_place = {panel["__id__"]: panel for each in _sections(fresh) for panel in each["panels"]}
    for section in sections:
        section["panels"] = _renewed(section.get("panels") or [], to_place)
    for section in _sections(fresh):
        new = [panel for panel in section["panels"] if panel["__id__"] in to_place]
        home = _home(sections, section)
        if home is None:
            sections.insert(_behind_ours(sections), {**section, "panels": new})
        else:
            place = _behind_ours(home["panels"])
            home["panels"][place:place] = new
    return merged


def _sections(spec: Spec) -> list[dict[str, Any]]:
    sections: list[dict[str, Any]] = spec["section"]["panelBankConfig"]["sections"]
    return sections


def _renewed(panels: list[Spec], to_place: dict[str, Spec]) -> list[Spec]:
    """The panels of a section; ours are taken from those that are to be placed."""
    kept = []
    for panel in panels:
        if not is_own(panel.get("__id__")):
            kept.append(panel)
        elif (fresh := to_place.pop(panel["__id__"], None)) is not None:
            config = {**(panel.get("config") or {}), **fresh["config"]}
            kept.append({**panel, **fresh, "config": config, "layout": panel.get("layout")})
    return kept


def _home(sections: list[Spec], section: Spec) -> Spec | None:
    """The section that is there already: ours by its id, or one that bears its name."""
    same = [each for each in sections if each.get("__id__") == section["__id__"]]
    named = [each for each in sections if each.get("name") == section["name"]]
    return next(iter([*same, *named]), None)


def _behind_ours(elements: list[Spec]) -> int:
    """The place behind the last of ours; the end where there is none."""
    ours = [place for place, each in enumerate(elements) if is_own(each.get("__id__"))]
    return ours[-1] + 1 if ours else len(elements)
