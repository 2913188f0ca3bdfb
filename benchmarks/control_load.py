"""`python -m benchmarks.control_load`: how many live runs one machine's control API bears.

The server is the real one (gunicorn, workers and reconciler as in production) over PostgreSQL, on
this machine. So are the clients: trainers that report each second and hold a long-poll, and people
who read and command. They share its cores, so each process's use of them is told.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    PACKAGES,
    ROOT,
    child_environment,
    make_parser,
    print_table,
    quantile,
    write_result,
)

sys.path.append(str(ROOT / "tests"))

LADDER = (100, 200, 400, 700, 1000)
START_SECONDS = 60.0
PACKAGES_HERE = ("flask", "gunicorn", "sqlalchemy", "psycopg", "gevent", "pydantic")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """What a group of processes used, sampled once a second."""

    cpu: list[float] = field(default_factory=list)
    """Seconds since the group began."""
    memory: list[float] = field(default_factory=list)
    """Resident, in MB."""


def main() -> int:
    """Climb the ladder, then stay at its top."""
    given = _read_arguments()
    errors = _climb(given, given.runs, given.rung_seconds, given.name)
    if given.seconds:
        errors += _climb(given, given.runs[-1:], given.seconds, f"{given.name}_long")
    return 1 if errors else 0


def _read_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, nargs="+", help=f"live runs {LADDER}")
    parser.add_argument("--rung-seconds", type=float, default=30.0, help="for each (30)")
    parser.add_argument("--seconds", type=float, default=600.0, help="for the last, again (600)")
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds before each (10)")
    parser.add_argument("--users", type=int, default=20, help="people at work (20)")
    parser.add_argument("--workers", type=int, default=2, help="gunicorn's (2)")
    parser.add_argument("--worker-class", default="ours", choices=("ours", "gthread"))
    parser.add_argument("--database", default="postgresql", choices=("postgresql", "sqlite"))
    parser.add_argument("--name", default="control_load", help="of the result's file")
    parser.add_argument("--no-reconciler", action="store_true", help="leave it out")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.rung_seconds, given.seconds = given.runs or [10], 3.0, 0.0
        given.warm_up, given.users = 2.0, 4
    given.runs = given.runs or list(LADDER)
    return given


def _climb(given: argparse.Namespace, ladder: list[int], seconds: float, name: str) -> int:
    """Measure each rung and write the result; returns how many errors there were."""
    rows, details = [], []
    for runs in ladder:
        row, detail = measure(given, runs, seconds)
        rows.append(row)
        details.append(detail)
        print(json.dumps(row | detail), flush=True)
    print_table("Load", rows)
    settings = ("database", "workers", "worker_class", "users", "no_reconciler")
    write_result(
        given.results,
        name,
        rows,
        details=details,
        setting={"seconds": seconds, **{each: str(getattr(given, each)) for each in settings}},
        packages={each: _version(each) for each in PACKAGES_HERE if each not in PACKAGES},
    )
    return sum(row["errors"] for row in rows)


def measure(
    given: argparse.Namespace, runs: int, seconds: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One rung: a fresh server with so many live runs."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midcourse-load-")))
        groups: dict[str, list[int]] = {}
        plan = _prepare(given, runs, home, stack, groups)
        path = home / "plan.json"
        path.write_text(json.dumps(plan))
        web = stack.enter_context(_process("load_server", "web", path))
        _wait_until_it_answers(plan["port"])
        groups["web"] = [web.pid]
        if not given.no_reconciler:
            reconciler = stack.enter_context(_process("load_server", "reconciler", path))
            groups["reconciler"] = [reconciler.pid]
        trainers = stack.enter_context(_process("load_clients", "trainers", path))
        _wait_for_word(trainers)
        users = stack.enter_context(_process("load_clients", "users", path))
        _wait_for_word(users)
        groups |= {"trainers": [trainers.pid], "users": [users.pid]}
        time.sleep(given.warm_up)
        usage = _watch(groups, seconds, [trainers, users])
        seen = [_end_client(trainers), _end_client(users)]
        return _row(seconds, runs, seen[0], seen[1], usage)


def _prepare(
    given: argparse.Namespace,
    runs: int,
    home: Path,
    stack: ExitStack,
    groups: dict[str, list[int]],
) -> dict[str, Any]:
    from benchmarks.load_server import prepare

    url = ""
    if given.database == "postgresql":
        from postgresql_server import PostgreSQL, programs

        found = programs()
        assert found is not None, "PostgreSQL is not installed"
        server = PostgreSQL(found, {"max_connections": "200", "shared_buffers": "256MB"})
        stack.callback(server.close)
        url = server.create("load")
        groups["postgresql"] = [server.pid]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plan: dict[str, Any] = {
        "home": str(home),
        "port": port,
        "database_url": url or f"sqlite:///{home / 'control.db'}",
        "workers": given.workers,
        # Of gthread: each worker must bear all long-polls, as they may all come to it.
        "threads": runs + 64,
        "worker_class": given.worker_class,
        "users": given.users,
    }
    plan["runs"] = prepare(plan, runs)
    plan["token"] = (home / "token").read_text().strip()
    return plan


@contextmanager
def _process(module: str, part: str, plan: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", part, str(plan)],
        cwd=ROOT,
        env=child_environment(PYTHONPATH=str(ROOT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _wait_for_word(client: "subprocess.Popen[str]") -> None:
    assert client.stdout is not None
    if client.stdout.readline().strip() != "ready":
        raise RuntimeError("the clients did not start")


def _end_client(client: "subprocess.Popen[str]") -> dict[str, Any]:
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.close()
    found: dict[str, Any] = json.loads(client.stdout.readline())
    return found


def _watch(
    groups: dict[str, list[int]], seconds: float, clients: "list[subprocess.Popen[str]]"
) -> dict[str, Usage]:
    begin = time.monotonic()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(f"{begin}\n")
        client.stdin.flush()
    usage = {name: Usage() for name in groups}
    samples = max(2, int(seconds) + 1)
    for sample in range(samples):
        time.sleep(max(0.0, begin + sample * seconds / (samples - 1) - time.monotonic()))
        for name, pids in groups.items():
            cpu, memory = _use_of(pids)
            usage[name].cpu.append(cpu)
            usage[name].memory.append(memory)
    return usage


def _use_of(pids: list[int]) -> tuple[float, float]:
    """CPU seconds and resident MB of processes and what they have started."""
    cpu, memory = 0.0, 0
    for pid in [*pids, *(child for parent in pids for child in _children(parent))]:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            own, waited_for = words[11:13], words[13:15] if pid in pids else []
            cpu += sum(map(int, [*own, *waited_for])) / _TICK
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return cpu, memory / 1e6


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def _row(
    seconds: float,
    runs: int,
    trainers: dict[str, Any],
    users: dict[str, Any],
    usage: dict[str, Usage],
) -> tuple[dict[str, Any], dict[str, Any]]:
    reads = {name: times for name, times in users["seconds"].items() if name != "command"}
    every_read = [each for times in reads.values() for each in times]
    reports = trainers["seconds"].get("report", [])
    came = trainers["commands"]
    delivered = [came[key] - sent for key, sent in users["commands"].items() if key in came]
    errors = [*trainers["errors"], *users["errors"]]
    # Those of the last moment may still be on their way.
    underway = len(users["commands"]) - len(delivered)
    if underway > max(3, 0.02 * len(users["commands"])):
        errors.append(f"{underway} of {len(users['commands'])} commands were not delivered")
    cores = {name: (use.cpu[-1] - use.cpu[0]) / seconds for name, use in usage.items()}
    memory = usage["web"].memory
    row = {
        "live runs": runs,
        "errors": len(errors),
        "reports/s": len(reports) / seconds,
        "report p99 ms": _ms(reports, 0.99),
        "late p99 ms": _ms(trainers["late"], 0.99),
        "reads/s": len(every_read) / seconds,
        "read p50 ms": _ms(every_read, 0.5),
        "read p99 ms": _ms(every_read, 0.99),
        "commands/s": len(delivered) / seconds,
        "delivered p50 ms": _ms(delivered, 0.5),
        "delivered p99 ms": _ms(delivered, 0.99),
        "cores web": cores["web"],
        "PostgreSQL": cores.get("postgresql"),
        "reconciler": cores.get("reconciler"),
        "clients": cores["trainers"] + cores["users"],
        "all": sum(cores.values()),
        "MB": memory[-1],
        "MB more a minute": _slope(memory, seconds),
    }
    detail = {
        "cpu ms for each report, web": 1000 * cores["web"] * seconds / max(1, len(reports)),
        "p99 ms": {name: _ms(times, 0.99) for name, times in sorted(reads.items())},
        "command answered p99 ms": _ms(users["seconds"].get("command", []), 0.99),
        "report p50 ms": _ms(reports, 0.5),
        "web MB": [round(each) for each in memory[:: max(1, len(memory) // 60)]],
        "first errors": errors[:3],
    }
    return row, detail


def _ms(seconds: list[float], q: float) -> float | None:
    return quantile(seconds, q) * 1000 if seconds else None


def _slope(values: list[float], seconds: float) -> float:
    """By least squares, a minute."""
    n = len(values)
    times = [seconds / 60 * i / (n - 1) for i in range(n)]
    mean_time, mean = sum(times) / n, sum(values) / n
    above = sum((t - mean_time) * (v - mean) for t, v in zip(times, values, strict=True))
    return above / sum((t - mean_time) ** 2 for t in times)


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
