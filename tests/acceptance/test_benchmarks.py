"""The benchmarks run and write results; how fast anything is, is not tested."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.acceptance


def has(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "results"),
    [
        (["log_cost"], {"log_cost"}),
        (["layer_statistics"], {"layer_statistics"}),
        (["checkpoint_stall"], {"checkpoint_stall"}),
        (["metric_store"], {"metric_store"}),
        (["tracking"], {"tracking"}),
        (["command_latency"], {"command_latency"}),
        (["step_overhead", "--only", "midcourse"], {"step_overhead"}),
        pytest.param(
            ["step_overhead", "--only", "wandb_log", "lightning", "transformers"],
            {"step_overhead"},
            marks=pytest.mark.skipif(
                not (has("lightning") and has("transformers")),
                reason="`make bench` installs what we compare with",
            ),
        ),
        (
            ["gpu", "--device", "cpu"],
            {"gpu_throughput", "gpu_waits", "gpu_stall", "gpu_data"},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_runs(tmp_path: Path, arguments: list[str], results: set[str]) -> None:
    name, *options = arguments
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            f"benchmarks.{name}",
            "--quick",
            "--results",
            str(tmp_path),
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stem for path in tmp_path.glob("*.json")} == results
    for path in tmp_path.glob("*.json"):
        result = json.loads(path.read_text())
        assert result["rows"]
        assert {"date", "commit", "hardware", "versions"} <= set(result)
