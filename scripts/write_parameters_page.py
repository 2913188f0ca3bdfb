"""`make docs`: write docs/parameters.md from the table of live parameters; `--check` only looks."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, Python looks in scripts/ alone
    sys.path.insert(0, str(ROOT))

from midcourse.contract.built_in import BUILT_IN  # noqa: E402
from midcourse.contract.live_parameter import LiveParameter  # noqa: E402
from scripts.generated import write_or_check  # noqa: E402

PAGE = ROOT / "docs" / "parameters.md"

HEAD = """\
# Live parameters

<!-- Written by `make docs` from midcourse/contract/built_in.py; edit that table instead. -->

A live parameter is a value that may change while a run trains. These are built in. A run has \
those that its tracked objects can hold: a model without dropout layers has no `model.dropout`. \
`GET /api/v1/runs/{id}/params` says what a run has; a program adds its own with `run.live`.

| name | type | allowed | unit | takes effect |
|---|---|---|---|---|
"""

TAIL = """
A change is checked against type and bounds when the request comes, and against the live objects \
at the step boundary. A receipt tells the values before and after as they were read back from \
there, also of parameters that changed with those that were named.

Some take more than a value: `{"optimizer.lr": {"value": 0.5, "mode": "scale"}}`. Layer patterns \
are names as `model.named_modules()` has them, with `*`; a module's name means everything in it. \
The options of what was chosen by name are live parameters, too: `scheduler.gamma`, `loss.margin`. \
`GET /api/v1/runs/{id}/params` lists them.
"""

_TYPES = {
    "interval": 'interval, such as "100 steps" or "1 epoch"',
    "numbers": "list of numbers",
    "patterns": "list of layer patterns",
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def page() -> str:
    """The whole page."""
    rows = "".join(_row(parameter) for parameter in BUILT_IN.values())
    sections = "".join(_section(parameter) for parameter in BUILT_IN.values())
    return f"{HEAD}{rows}{TAIL}{sections}"


def _row(parameter: LiveParameter) -> str:
    cells = (
        f"[`{parameter.name}`](#{_anchor(parameter.name)})",
        _TYPES.get(parameter.type, parameter.type),
        _allowed(parameter),
        parameter.unit,
        parameter.takes_effect,
    )
    return f"| {' | '.join(cells)} |\n"


def _section(parameter: LiveParameter) -> str:
    ways = "".join(
        f"`{word}` beside the value: {', '.join(f'`{_json(answer)}`' for answer in answers)}; "
        f"without it `{_json(answers[0])}`.\n\n"
        for word, answers in parameter.ways.items()
    )
    read_back = f"Read back from: {parameter.read_back}.\n"
    return f"\n## {parameter.name}\n{parameter.description}\n\n{ways}{read_back}"


def _json(answer: object) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer)


def _anchor(heading: str) -> str:
    """How Markdown viewers spell a heading in a link: no dots."""
    return heading.lower().replace(".", "")


def _allowed(parameter: LiveParameter) -> str:
    if parameter.choices is not None:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    bounds = [f"{_BOUNDS[name]} {bound:,g}" for name, bound in parameter.bounds().items()]
    allowed = " and ".join(bounds) or "any"
    if parameter.count is not None:
        allowed = f"{parameter.count} of them, each {allowed}"
    if parameter.per_layer:
        allowed += "; or an object by layer pattern"
    return f"{allowed}; or null" if parameter.nullable else allowed


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or say whether it is current; the exit code."""
    return write_or_check(__doc__, PAGE, page(), "is not current; run `make docs`.", arguments)


if __name__ == "__main__":
    sys.exit(main())
