"""What all benchmarks share: child processes, statistics, tables, and results with their origin."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("torch", "wandb", "lightning", "transformers", "accelerate", "numpy", "pydantic")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON")
    return parser


def child_environment(**more: str) -> dict[str, str]:
    """One thread a process, W&B offline, and no control API unless `more` says so."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MIDCOURSE_", "WANDB_"))
    }
    return kept | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **more,
    }


def run_child(module: str, *arguments: str, **environment: str) -> Any:
    """Run a module in a process and folder of its own; returns the JSON that it ends with.

    Raises:
        RuntimeError: it failed; holds the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="midcourse-bench-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env=child_environment(PYTHONPATH=str(ROOT), **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def is_installed(package: str) -> bool:
    """Whether a package of the bench requirements is at hand."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def paired_ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """One ratio a round: what drifts from round to round drops out."""
    return [one / other for one, other in zip(of, to, strict=True)]


def quantile(values: Sequence[float], q: float) -> float:
    """The value that a share `q` of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, and the extremes as a measure of the noise."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
    }


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same keys, as Markdown that a terminal shows well too."""
    print(f"\n{title}\n")
    print(as_table(rows))


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table; floats with three digits that count."""
    heads = list(rows[0])
    cells = [[_spell(row[head]) for head in heads] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *cells]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _spell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def write_result(
    folder: Path, name: str, rows: Sequence[Mapping[str, Any]], **details: Any
) -> Path:
    """Write a result with where it comes from, as `<folder>/<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    result = {"benchmark": name, **origin(), "rows": list(rows), **details}
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{path.name} written")
    return path


def origin() -> dict[str, Any]:
    """Date, commit, hardware and versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "hardware": {
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
            "memory_gb": _memory_gb(),
            "load_1min": round(os.getloadavg()[0], 2),
        },
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in PACKAGES if is_installed(package)},
        },
    }


def _commit() -> str:
    """The commit, and whether the files differ from it; results alone do not count."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!*.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
