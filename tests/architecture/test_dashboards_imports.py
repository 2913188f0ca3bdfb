"""Dashboards know the contract of Midcourse alone, and load nothing that trains."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTS = "import sys; import {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"


def loaded(module: str) -> set[str]:
    """The top-level modules of a fresh interpreter that imports one."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(module=module)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.split())


def imported(file: Path) -> set[str]:
    """What a module's import statements name."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_of_midcourse_they_import_the_contract_alone() -> None:
    files = list((ROOT / "dashboards").rglob("*.py"))
    assert files
    ours = {name for file in files for name in imported(file) if name.split(".")[0] == "midcourse"}
    assert {name for name in ours if not name.startswith("midcourse.contract")} == set()


def test_records_and_pages_load_no_renderer() -> None:
    others = {"torch", "wandb", "wandb_workspaces", "jinja2", "flask", "control_api", "trainer"}
    assert loaded("dashboards.pages, dashboards.home") & others == set()


def test_the_program_loads_nothing_of_wandb_before_it_publishes() -> None:
    found = loaded("dashboards.__main__")
    assert (
        found & {"torch", "wandb", "wandb_workspaces", "flask", "control_api", "trainer"} == set()
    )


def test_one_package_alone_imports_wandb() -> None:
    theirs = {
        file.parent.name
        for file in (ROOT / "dashboards").rglob("*.py")
        if {name.split(".")[0] for name in imported(file)} & {"wandb", "wandb_workspaces"}
    }
    assert theirs == {"wandb_views"}
