"""How fast numbers are stored, and how soon a long series is answered.

Everything goes through the real views, in this process: what HTTP itself costs is not in it.
"""

import argparse
import importlib
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import ROOT, make_parser, print_table, run_child, write_result
from midcourse.runlog import metrics_lines

POINTS = 1_000_000
TARGETS = {"points_per_second": 50_000, "answer_ms": 100}
_REPORTS = {
    "1 metric, reports of 1 MB": (1, 1_000_000),
    "10 metrics, reports of 1 MB": (10, 1_000_000),
    "10 metrics, reports of 100 steps": (10, 100 * 330),
    "10 metrics, a report each step": (10, 1),
    "1,000 metrics, a report each step": (1000, 1),
}
"""How many metrics a line has, and about how many bytes a report."""


def main() -> None:
    """Measure each database in a child, print, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    points = 20_000 if given.quick else given.points
    if given.inside:
        sys.stdout.write(json.dumps(measure(given.inside, points)) + "\n")
        return
    rows: list[dict[str, Any]] = []
    for kind in ("sqlite", "postgresql"):
        rows += run_child("benchmarks.metric_store", f"--inside={kind}", f"--points={points}")
    print_table("points a second stored, and ms of an answer", rows)
    write_result(given.results, "metric_store", rows, targets=TARGETS)


def measure(kind: str, points: int) -> list[dict[str, Any]]:
    """Rows for one kind of database; none where it is not installed."""
    sys.path.append(str(ROOT / "tests"))
    postgresql, bench = (
        importlib.import_module(name) for name in ("postgresql_server", "control_bench")
    )
    server = None
    if kind == "postgresql":
        if postgresql.programs() is None:
            return []
        server = postgresql.PostgreSQL(postgresql.programs(), {})  # as it is by default: durable
    try:
        with TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            url = server.create("bench") if server else f"sqlite:///{home / 'control.db'}"
            control = bench.Bench(home, database_url=url)
            rows = [
                _measure_reports(control, kind, name, metrics, size, points)
                for name, (metrics, size) in _REPORTS.items()
            ]
            control.close()
            return rows
    finally:
        if server:
            server.close()


def _measure_reports(
    control: Any, kind: str, name: str, metrics: int, size: int, points: int
) -> dict[str, Any]:
    """Store points in reports of one size, then ask for the first metric."""
    trainer = control.submit()
    trainer.say(trainer.started())
    total = points if size > 1 else min(points, 200_000)
    reports = list(_reports(metrics, size, total))
    begin, cpu = time.perf_counter(), time.process_time()
    for report in reports:
        answer = trainer.ship(report)
        assert answer.status_code == 200, answer.text
        trainer.offset = answer.json["next_offset"]
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    times = [_ask(control, trainer.run) for _ in range(20)]
    return {
        "database": kind,
        "reports": name,
        "points": total,
        "points/s": total / seconds,
        "points/s of this CPU": total / cpu,
        "ms a report": seconds / len(reports) * 1e3,
        "series": total // metrics,
        "answer ms": statistics.median(times),
        "most ms": max(times),
    }


def _ask(control: Any, run: str) -> float:
    """The milliseconds until a series is told by 1,000 points."""
    begin = time.perf_counter()
    series = control.get(f"/runs/{run}/metrics?keys=train/metric_0&max_points=1000")
    elapsed = (time.perf_counter() - begin) * 1e3
    assert 0 < len(series["metrics"]["train/metric_0"]["steps"]) <= 1000
    return elapsed


def _reports(metrics: int, size: int, points: int) -> Iterator[bytes]:
    """Run log of so many points, as a trainer writes it, cut into reports."""
    names = tuple(f"train/metric_{index}" for index in range(metrics))
    values = iter(_random())
    report = b""
    for step in range(points // metrics):
        row = (1.8e9 + step * 0.001, step, names, list(islice(values, metrics)))
        report += metrics_lines([row])[0]
        if len(report) >= size:
            yield report
            report = b""
    if report:
        yield report


def _random() -> Iterator[float]:
    """Values that need all their digits."""
    chance = random.Random(0)
    for step in count():
        yield chance.random() + 1 / (1 + step)


if __name__ == "__main__":
    main()
