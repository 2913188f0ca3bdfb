"""The pages are true: links resolve, and every route, setting, key and state is in its page."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from control_api import door
from control_api.app import create_app
from control_api.problems import ApiProblem
from control_api.settings import Settings
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus
from trainer.config import Config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md")})
VARIABLE = re.compile(r"(MIDCOURSE|WANDB)_[A-Z_]*[A-Z]|PORT|CONFIG|EXIT|WANDB")


def test_the_parameters_page_is_current():
    script = ROOT / "scripts" / "write_parameters_page.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links spell them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_environment_variable_is_documented():
    page = (DOCS / "configuration.md").read_text()
    assert {name for name in variables_in_code() if f"`{name}`" not in page} == set()


def variables_in_code() -> set[str]:
    """Names of environment variables that stand as strings in the code, or in the Makefile."""
    found = set(re.findall(r"^([A-Z]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for folder in ("midcourse", "control_api", "dashboards", "trainer", "scripts"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= {node.value} if VARIABLE.fullmatch(node.value) else set()
    assert {"MIDCOURSE_HOME", "WANDB_MODE", "PORT", "CONFIG", "EXIT", "PYTHON", "WANDB"} <= found
    return found


def test_every_key_of_the_params_file_is_documented():
    page = (DOCS / "configuration.md").read_text()
    missing = [key for key in keys_of(Config) if not re.search(rf"^\| `{key}` \|", page, re.M)]
    assert missing == []


def keys_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a configuration, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += keys_of(kind, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


def test_the_api_page_has_every_address_and_no_other(tmp_path):
    app = create_app(Settings(home=tmp_path))
    served = {
        f"{method} {address(rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    served |= {f"{method} {address(door.RULE + name)}" for name, method in door.METHODS.items()}
    page = (DOCS / "api.md").read_text()
    told = set(re.findall(r"^###? `([A-Z]+ /\S+)`$", page, re.MULTILINE))
    assert told == served


def address(rule: str) -> str:
    """A rule of Flask as people write it."""
    return re.sub(r"<(?:[^<:]+:)?(\w+)>", r"{\1}", rule).replace("{run_id}", "{id}")


def test_the_api_page_has_every_problem_type():
    page = (DOCS / "api.md").read_text()
    types = {f"/problems/{kind.slug}" for kind in ApiProblem.__subclasses__()}
    types |= set(re.findall(r'"(/problems/[a-z-]+)"', (ROOT / "control_api/errors.py").read_text()))
    assert {kind for kind in types if f"`{kind}`" not in page} == set()


@pytest.mark.parametrize("state", [*CommandState, *RunStatus], ids=str)
def test_every_state_is_in_the_glossary(state):
    kind = "command state" if isinstance(state, CommandState) else "run status"
    (meaning,) = [meaning for word, meaning in glossary() if word == state.value]
    assert f"{kind}: " in meaning.lower()


def test_the_glossary_is_in_order():
    words = [word.lower() for word, _ in glossary()]
    assert words == sorted(set(words))


def glossary() -> list[tuple[str, str]]:
    """Words and their meanings."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    return rows[1:]
