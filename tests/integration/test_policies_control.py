"""A policy reverts beside the real control API, which learns of the child from the log."""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_bench import Bench
from policed import NON_FINITE, train
from werkzeug.serving import make_server

from midcourse.contract import environment
from midcourse.session import Session


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Serve the control API; what the trainer asked it for, and with which result."""
    seen: list[tuple[str, int]] = []

    def note(environ: Any, start_response: Any) -> Any:
        def answer(status: str, *rest: Any) -> Any:
            seen.append((environ["PATH_INFO"], int(status.split()[0])))
            return start_response(status, *rest)

        return bench.app(environ, answer)

    server = make_server("127.0.0.1", 0, note, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trainer = bench.submit()
    for name, value in {
        environment.RUN_ID: trainer.run,
        environment.RUN_TOKEN: trainer.token,
        environment.ATTEMPT: str(trainer.attempt),
        environment.API_URL: f"http://127.0.0.1:{server.port}",
        "WANDB_MODE": "disabled",
    }.items():
        monkeypatch.setenv(name, value)
    yield seen
    server.shutdown()
    server.server_close()


def test_the_api_follows_a_run_that_reverts_itself(
    bench: Bench, requests: list[tuple[str, int]]
) -> None:
    [spec] = bench.launcher.started
    shipped = threading.Event()

    def wait_for_child(run: Session, step: int) -> None:
        """Let the API see the child train, and not only its end."""
        if run.id != spec.run_id and step == 20:
            for _ in range(2000):
                if (f"/api/v1/runs/{run.id}/link/report", 200) in requests:
                    shipped.set()
                    return
                threading.Event().wait(0.01)

    ended = train(
        bench.home,
        spec.run_id,
        policies=[NON_FINITE],
        spoil={10: 0.05, 25: 0.025},
        on_step=wait_for_child,
    )
    assert shipped.is_set()
    assert {status for _, status in requests} == {200}
    runs = [bench.get(f"/runs/{spec.run_id}")]
    while (found := [r for r in bench.get("/runs")["runs"] if _parent(r) == runs[-1]["id"]]) != []:
        runs.append(bench.get(f"/runs/{found[0]['id']}"))
    assert [run["status"] for run in runs] == ["superseded", "superseded", "finished"]
    assert runs[-1]["id"] == ended["id"]
    assert math.isfinite(runs[-1]["metrics"]["train/loss"])
    for run, step in zip(runs, (11, 26), strict=False):
        [told] = bench.get(f"/runs/{run['id']}/commands")["commands"][-1:]
        assert (told["seq"], told["actor"], told["state"]) == (-1, "policy:non_finite", "applied")
        assert told["receipt"]["step"] == step
    assert runs[1]["origin"]["run"] == runs[0]["id"]
    assert runs[1]["origin"]["checkpoint"] == "step-9"


def _parent(run: dict[str, Any]) -> str | None:
    origin: dict[str, Any] | None = run["origin"]
    return None if origin is None else origin["run"]
