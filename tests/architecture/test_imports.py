"""What must not be loaded is not: checked in a fresh process, as this one has loaded it all."""

import re
import subprocess
import sys
from pathlib import Path

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__") and ".migrations" not in module.name:
        importlib.import_module(module.name)
print(" ".join(name for name in {forbidden!r} if name in sys.modules))
"""


def loaded(package, forbidden):
    program = IMPORT_ALL.format(package=package, forbidden=forbidden)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_control_api_loads_nothing_that_trains():
    assert loaded("control_api", ["torch", "torchvision", "wandb", "trainer"]) == []


def test_the_contract_stands_alone():
    others = ["torch", "wandb", "flask", "sqlalchemy", "requests", "numpy", "control_api"]
    assert loaded("midcourse.contract", others) == []


def test_the_client_and_the_command_line_load_nothing_that_trains_or_serves():
    others = ["torch", "wandb", "numpy", "flask", "sqlalchemy", "control_api", "trainer"]
    assert loaded("midcourse.client", [*others, "click", "rich"]) == []
    assert loaded("midcourse.cli", others) == []


def test_the_docker_sdk_is_imported_in_one_module():
    """Wherever else `import docker` stood, a folder of that name could be what it finds."""
    root = Path(__file__).parents[2]
    importers = {
        str(file.relative_to(root))
        for package in ("midcourse", "trainer", "control_api")
        for file in (root / package).rglob("*.py")
        if re.search(r"(import|from) docker\b|import_module\(.docker", file.read_text())
    }
    assert importers == {"control_api/launchers/docker_engine.py"}
    assert not list((root / "docker").rglob("*.py")), "it would be imported in place of the SDK"
