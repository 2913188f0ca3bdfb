"""The stand-in W&B server, held to the real SDK, its Go core, and wandb-workspaces.

Each program runs as a process of its own: the SDK keeps global state, and so would a user's.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from wandb_server.server import WandbServer

KEY = "key0123456789" * 5
LIMIT = 120.0

RUN = """
import wandb
run = wandb.init(project="p", id="r1", name="first", group="g", job_type="train", tags=["a"],
                 notes="n", config={"lr": 0.1, "optimizer": {"name": "sgd"}})
for step in range(5):
    run.log({"loss": 1 / (step + 1)}, step=step)
run.finish()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    folders = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    return {
        **kept,
        **dict.fromkeys(folders, str(tmp_path)),
        "WANDB_API_KEY": KEY,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
    }


class Program:
    """Runs Python code, or W&B's command line, against the server, in a folder of the test's."""

    def __init__(self, server: WandbServer, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "WANDB_BASE_URL": server.url}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Leave none behind, whatever a test came to."""
        for process in self._started:
            process.kill()
            process.communicate()

    def __call__(self, code: str, **environment: str) -> str:
        """What it printed."""
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        return out

    def json(self, code: str) -> Any:
        """What it printed, as JSON."""
        return json.loads(self(code))


@pytest.fixture
def program(server: WandbServer, tmp_path: Path, environment: dict[str, str]) -> Iterator[Program]:
    program = Program(server, tmp_path, environment)
    yield program
    program.end()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def steps(server: WandbServer, run_id: str) -> list[int]:
    return [row["_step"] for row in server.run(run_id).rows]


# -- a run -----------------------------------------------------------------------------------------


def test_a_run_arrives_as_it_was_logged(server: WandbServer, program: Program) -> None:
    program(
        """
        import numpy, wandb
        run = wandb.init(project="p", id="r1", name="first", group="g", job_type="train",
                         tags=["a"], notes="n", config={"lr": 0.1, "optimizer": {"name": "sgd"}})
        for step in range(5):
            run.log({"loss": 1 / (step + 1)}, step=step)
        run.log({"table": wandb.Table(columns=["x"], data=[[1], [2]]),
                 "image": wandb.Image(numpy.zeros((4, 4), dtype="uint8"))}, step=5)
        run.config.update({"added": float("inf")})
        run.summary["final"] = 3
        run.alert("Title", "text", level="WARN")
        run.finish(exit_code=3)
        """
    )
    run = server.run("r1")
    assert [row["_step"] for row in run.rows] == list(range(6))
    assert [row["loss"] for row in run.rows[:5]] == [1 / (step + 1) for step in range(5)]
    assert run.config["optimizer"] == {"name": "sgd"}
    assert (run.config["lr"], run.config["added"]) == (0.1, float("inf"))
    assert (run.summary["final"], run.summary["loss"]) == (3, 0.2)
    assert (run.display_name, run.group, run.job_type) == ("first", "g", "train")
    assert (run.tags, run.notes) == (["a"], "n")
    assert (run.state, run.exit_code) == ("failed", 3)
    assert (run.overwritten, run.gaps) == ([], [])
    assert [(alert.title, alert.text, alert.level) for alert in run.alerts] == [
        ("Title", "text", "WARN")
    ]
    image = run.files[run.rows[5]["image"]["path"]]
    assert hashlib.sha256(image).hexdigest() == run.rows[5]["image"]["sha256"]
    table = json.loads(run.files[run.rows[5]["table"]["path"]])
    assert table["data"] == [[1], [2]]
    as_artifact = json.loads(server.artifact("run-r1-table:latest").files["table.table.json"])
    assert as_artifact["data"] == table["data"]
    assert server.unknown_fields == {}


def test_resumed_runs_go_on_and_several_runs_keep_apart(
    server: WandbServer, program: Program
) -> None:
    program(RUN)
    program(RUN.replace('"r1"', '"r2"'))
    out = program(
        """
        import wandb
        run = wandb.init(project="p", id="r1", resume="must")
        print(run.starting_step)
        run.log({"loss": 0.0}, step=5)
        run.finish()
        """
    )
    assert int(out) == 5
    assert steps(server, "r1") == list(range(6))
    assert steps(server, "r2") == list(range(5))
    run = server.run("r1")
    assert (run.overwritten, run.gaps) == ([], [])
    assert (run.config["lr"], run.tags, run.notes, run.group) == (0.1, ["a"], "n", "g")


def test_a_row_written_again_is_noted_and_so_is_a_gap(
    server: WandbServer, program: Program
) -> None:
    program(RUN)
    url = f"{server.url}/files/us/p/r1/file_stream"

    def send(offset: int, *rows: dict[str, Any]) -> None:
        content = [json.dumps(row) for row in rows]
        files = {"wandb-history.jsonl": {"offset": offset, "content": content}}
        assert requests.post(url, json={"files": files}, auth=("api", KEY)).ok

    run = server.run("r1")
    send(4, run.rows[4])
    assert [(each.number, json.loads(each.before)) for each in run.overwritten] == [
        (4, run.rows[4])
    ], "the same row in other words is other content"
    send(7, {"_step": 7})
    assert run.gaps == [range(5, 7)]
    send(5, {"_step": 5}, {"_step": 6})
    assert run.gaps == []


def test_a_config_update_leaves_the_tags_that_people_set(
    server: WandbServer, program: Program
) -> None:
    process = program.start(
        """
        import wandb
        run = wandb.init(project="p", id="r1", tags=["a"])
        run.log({"x": 1})
        input()
        run.config.update({"lr": 1})
        run.finish()
        """
    )
    until(lambda: server.rows("r1") != [], "the run is there")
    page = f"{server.url}/us/p/runs/r1"
    assert requests.post(f"{page}/tags", data={"add": "mc:pause"}).ok
    process.communicate("\n", timeout=LIMIT)
    assert server.run("r1").config["lr"] == 1
    assert server.run("r1").tags == ["a", "mc:pause"]


def test_what_was_logged_offline_is_synced(server: WandbServer, program: Program) -> None:
    program(
        RUN.replace(
            "run.finish()",
            """
artifact = wandb.Artifact("m", "model")
with artifact.new_file("w.txt") as file:
    file.write("weights")
run.log_artifact(artifact, aliases=["best"])
run.finish()
""",
        ),
        WANDB_MODE="offline",
    )
    assert server.runs == []
    [folder] = (program.folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "sync", str(folder)]
    subprocess.run(
        command, check=True, cwd=program.folder, env=program.environment, capture_output=True
    )
    run = server.run("r1")
    assert (run.state, run.config["lr"], steps(server, "r1")) == ("finished", 0.1, list(range(5)))
    assert server.artifact("m:best").files == {"w.txt": b"weights"}
    assert run.logged == [server.artifact("m:best")]


# -- artifacts -------------------------------------------------------------------------------------

LOGGED = """
import wandb
def save(run, text, *aliases):
    artifact = wandb.Artifact("m", "model", metadata={"text": text})
    with artifact.new_file("w.txt") as file:
        file.write(text)
    return run.log_artifact(artifact, aliases=list(aliases)).wait()
with wandb.init(project="p", id="r1") as run:
    save(run, "one", "best", "step-1")
    save(run, "two", "step-2")
    save(run, "three", "best")
    save(run, "two", "again")
"""


def test_versions_aliases_and_lineage(server: WandbServer, program: Program) -> None:
    program(LOGGED)
    assert {artifact.name: set(artifact.aliases) for artifact in server.artifacts} == {
        "m:v0": {"step-1"},
        "m:v1": {"step-2", "again", "latest"},
        "m:v2": {"best"},
    }, "the same bytes again are the version that they were, with one more alias"
    told = program.json(
        """
        import json, wandb
        with wandb.init(project="p", id="r2") as run:
            used = run.use_artifact("m:best")
            text = open(used.download() + "/w.txt").read()
        api = wandb.Api()
        artifact = api.artifact("us/p/m:best")
        print(json.dumps({
            "text": text,
            "metadata": artifact.metadata,
            "version": artifact.version,
            "verified": artifact.verify(),
            "logged_by": artifact.logged_by().id,
            "used_by": [each.id for each in artifact.used_by()],
            "logged": [each.name for each in api.run("us/p/r1").logged_artifacts()],
            "used": [each.name for each in api.run("us/p/r2").used_artifacts()],
            "versions": [each.name for each in api.artifacts("model", "us/p/m")],
            "exists": [api.artifact_exists(f"us/p/m:{name}") for name in ("v1", "v9")],
            "types": [each.name for each in api.artifact_types("us/p")],
        }))
        """
    )
    assert told == {
        "text": "three",
        "metadata": {"text": "three"},
        "version": "v2",
        "verified": None,
        "logged_by": "r1",
        "used_by": ["r2"],
        "logged": ["m:v0", "m:v1", "m:v2"],
        "used": ["m:v2"],
        "versions": ["m:v2", "m:v1", "m:v0"],
        "exists": [True, False],
        "types": ["model"],
    }
    assert server.run("r2").used == [server.artifact("m:best")]
    assert [run.id for run in server.artifact("m:best").used_by] == ["r2"]


def test_artifacts_are_renamed_kept_for_a_time_linked_and_deleted(
    server: WandbServer, program: Program
) -> None:
    program(LOGGED)
    out = program(
        """
        import datetime, wandb
        api = wandb.Api()
        first = api.artifact("us/p/m:v0")
        first.ttl = datetime.timedelta(days=2)
        first.description = "said"
        first.metadata["more"] = 1
        first.aliases.append("kept")
        first.tags = ["good"]
        first.save()
        first.aliases.remove("step-1")
        first.save()
        print(api.artifact("us/p/m:kept").ttl.days, api.artifact("us/p/m:kept").tags)
        first.link("us/p/shelf", aliases=["chosen"])
        print(api.artifact("us/p/shelf:chosen").source_name)
        try:
            first.delete()
        except Exception as error:
            print("refused")
        api.artifact("us/p/m:v2").delete(delete_aliases=True)
        """
    )
    assert out.split("\n")[:3] == ["2 ['good']", "m:v0", "refused"]
    kept = server.artifact("m:v0")
    assert kept.aliases == ["kept"]
    assert (kept.ttl_seconds, kept.description) == (2 * 86400, "said")
    assert kept.metadata == {"text": "one", "more": 1}
    assert [artifact.state for artifact in server.artifacts] == [
        "COMMITTED",
        "COMMITTED",
        "DELETED",
    ]
    assert server.artifact("m:latest").name == "m:v1"


# -- the public API --------------------------------------------------------------------------------


def test_the_public_api_reads_and_changes_runs(server: WandbServer, program: Program) -> None:
    program(RUN)
    program(RUN.replace('"r1"', '"r2"').replace("0.1", "0.5").replace("1 /", "2 /"))
    told = program.json(
        """
        import json, wandb
        api = wandb.Api()
        run = api.run("us/p/r1")
        rows = list(run.scan_history(page_size=2))
        def ids(filters, order="+created_at"):
            return [each.id for each in api.runs("us/p", filters=filters, order=order)]
        found = {
            "state": run.state, "config": dict(run.config), "loss": run.summary["loss"],
            "scanned": [row["loss"] for row in rows],
            "keys": [row["loss"] for row in run.scan_history(keys=["loss"], min_step=3)],
            "sampled": run.history(samples=2, keys=["loss"], pandas=False),
            "full": len(run.history(pandas=False)),
            "by config": ids({"config.lr": 0.5}),
            "nested": ids({"config.optimizer.name": "sgd"}),
            "by tag": ids({"tags": {"$in": ["a"]}, "state": "finished"}),
            "by number": ids({"$and": [{"summary_metrics.loss": {"$gt": 0.3}}]}),
            "by name": ids({"displayName": {"$regex": "^fi"}, "name": {"$ne": "r1"}}),
            "ordered": ids({}, "-summary_metrics.loss"),
            "group": ids({"$or": [{"group": "other"}, {"jobType": "train"}]}),
            "projects": [each.name for each in api.projects("us")],
            "files": sorted(each.name for each in run.files(pattern="%.json")),
        }
        run.tags = ["b"]
        run.notes = "changed"
        run.name = "renamed"
        run.config["lr"] = 0.2
        run.update()
        open("up.txt", "w").write("uploaded")
        run.upload_file("up.txt")
        found["downloaded"] = run.file("up.txt").download("down").read()
        run.summary["said"] = 1
        run.summary.update()
        api.run("us/p/r2").delete()
        api.create_project("fresh", "us")
        print(json.dumps(found))
        """
    )
    losses = [1 / (step + 1) for step in range(5)]
    assert told["state"] == "finished"
    assert told["config"] == {"lr": 0.1, "optimizer": {"name": "sgd"}}
    assert told["loss"] == 0.2
    assert told["scanned"] == losses
    assert told["keys"] == losses[3:]
    assert told["sampled"] == [{"_step": 0, "loss": 1}, {"_step": 4, "loss": 0.2}]
    assert told["full"] == 5
    assert (told["by config"], told["by number"], told["by name"]) == (["r2"],) * 3
    assert (told["nested"], told["by tag"], told["group"]) == (["r1", "r2"],) * 3
    assert told["ordered"] == ["r2", "r1"]
    assert told["projects"] == ["p"]
    assert told["files"] == ["wandb-metadata.json", "wandb-summary.json"]
    assert told["downloaded"] == "uploaded"
    [run] = server.runs
    assert (run.tags, run.notes, run.display_name) == (["b"], "changed", "renamed")
    assert (run.config["lr"], run.summary["said"]) == (0.2, 1)
    assert run.state == "finished"
    assert ("us", "fresh") in server.store.projects


def test_a_custom_chart_is_kept(server: WandbServer, program: Program) -> None:
    program(
        """
        import wandb
        spec = {"$schema": "https://vega.github.io/schema/vega/v5.json"}
        print(wandb.Api().create_custom_chart(entity="us", name="c", display_name="C",
              spec_type="vega2", access="private", spec=spec))
        """
    )
    [chart] = server.charts
    assert (chart["name"], chart["type"], json.loads(chart["spec"])["$schema"][:5]) == (
        "c",
        "vega2",
        "https",
    )


# -- reports and workspaces ------------------------------------------------------------------------


def test_a_report_and_a_workspace_are_saved_read_and_changed(
    server: WandbServer, program: Program
) -> None:
    program(RUN)
    told = program.json(
        """
        import json
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
        report = wr.Report(entity="us", project="p", title="Said", description="what",
                           blocks=[wr.H1("Head"), wr.PanelGrid(
                               runsets=[wr.Runset("us", "p")],
                               panels=[wr.LinePlot(x="Step", y=["loss"])])])
        report.save()
        loaded = wr.Report.from_url(report.url)
        loaded.title = "Said again"
        loaded.save()
        draft = wr.Report(entity="us", project="p", title="Draft")
        draft.save(draft=True)
        space = ws.Workspace(entity="us", project="p", name="Space", sections=[
            ws.Section(name="Training", panels=[wr.LinePlot(y=["loss"])])])
        space.save()
        again = ws.Workspace.from_url(space.url)
        again.sections.append(ws.Section(name="More", panels=[wr.ScalarChart(metric="loss")]))
        again.save()
        print(json.dumps({"blocks": [type(each).__name__ for each in loaded.blocks],
                          "title": wr.Report.from_url(loaded.url).title,
                          "sections": [each.name for each in
                                       ws.Workspace.from_url(space.url).sections],
                          "report": report.url, "space": space.url}))
        """
    )
    assert told["blocks"][:2] == ["H1", "PanelGrid"]
    assert (told["title"], told["sections"]) == ("Said again", ["Training", "More"])
    by_name = {view.display_name: view for view in server.views}
    assert {name: view.type for name, view in by_name.items()} == {
        "Said again": "runs",
        "Draft": "runs/draft",
        "Space": "project-view",
    }
    assert by_name["Said again"].saves == by_name["Space"].saves == 2
    assert by_name["Space"].spec["section"]["panelBankConfig"]["sections"][0]["name"] == "Training"
    for url in (told["report"], told["space"]):
        answer = requests.get(url)
        assert answer.ok
        assert "stand-in" in answer.text
    assert server.unknown_fields == {}


# -- the page --------------------------------------------------------------------------------------


def test_the_stop_button_reaches_the_program(server: WandbServer, program: Program) -> None:
    process = program.start(
        """
        import threading, time, wandb
        stopped = threading.Event()
        settings = wandb.Settings(stop_fn=stopped.set, x_file_stream_transmit_interval=1)
        run = wandb.init(project="p", id="r1", settings=settings)
        run.log({"x": 1})
        begun = time.monotonic()
        print(stopped.wait(100), flush=True)
        run.finish()
        """
    )
    until(lambda: server.rows("r1") != [], "the run is there")
    page = f"{server.url}/us/p/runs/r1"
    foreign = requests.post(f"{page}/stop", headers={"Origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    assert not server.run("r1").stop_wanted
    assert "Stop was pressed" in requests.post(f"{page}/stop").text
    out, err = process.communicate(timeout=LIMIT)
    assert (out.strip(), process.returncode) == ("True", 0), err


def test_pages_show_what_was_sent_and_escape_it(server: WandbServer, program: Program) -> None:
    evil = "<script>alert(1)</script>"
    program(RUN.replace('"first"', f'"{evil}"').replace('"n"', f'"{evil}"'))
    page = f"{server.url}/us/p/runs/r1"
    assert requests.post(f"{page}/tags", data={"add": evil}).ok
    told = requests.get(page)
    assert evil not in told.text
    assert told.text.count("&lt;script&gt;") >= 4
    assert "default-src 'none'" in told.headers["Content-Security-Policy"]
    for part in ("loss: last 0.2", "polyline", "sgd", "wandb-metadata.json", "stand-in"):
        assert part in told.text
    assert requests.post(f"{page}/tags", data={"remove": evil}).ok
    assert server.run("r1").tags == ["a"]
    for path in ("/", "/us/p"):
        assert evil not in requests.get(server.url + path).text
    assert requests.get(f"{server.url}/us/p/runs/none").status_code == 404


# -- forks -----------------------------------------------------------------------------------------

FORK = """
import wandb
run = wandb.init(project="p", id="child", fork_from="r1?_step=2")
for step in range(3, 6):
    run.log({"loss": 10.0}, step=step)
run.finish()
"""


def test_a_native_fork_has_its_parents_rows(server: WandbServer, program: Program) -> None:
    server.native_forks = True
    program(RUN)
    program(FORK)
    child = server.run("child")
    assert [row["_step"] for row in child.rows] == list(range(6))
    assert [row["loss"] for row in child.rows] == [1, 1 / 2, 1 / 3, 10, 10, 10]
    assert (child.forked_from, child.gaps, child.overwritten) == (("r1", 2), [], [])
    assert steps(server, "r1") == list(range(5))


def test_a_server_that_knows_no_forks_ignores_or_refuses_them(
    server: WandbServer, program: Program
) -> None:
    program(RUN)
    program(FORK)
    assert steps(server, "child") == [3, 4, 5]
    server.refuses_forks = True
    process = program.start(FORK.replace("child", "other"))
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert "forking runs is not supported by this server" in err
    assert [run.id for run in server.runs] == ["r1", "child"]


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("UpsertBucket", {"status": 500, "count": 1}),
        ("graphql", {"status": 429, "count": 1}),
        ("file_stream", {"status": 500, "count": 2}),
        ("file_stream", {"status": 503, "count": 1, "carried_out": True}),
        ("file_stream", {"reset": True, "count": 1}),
        ("file_stream", {"slow": 0.5}),
        ("put", {"status": 500, "count": 1}),
        ("any", {"slow": 0.05, "after": 2}),
    ],
)
def test_a_fault_is_met_and_nothing_is_lost(
    server: WandbServer, program: Program, route: str, fault: dict[str, Any]
) -> None:
    met = server.faults.add(route, **fault)
    program(RUN)
    assert met.met == met.count or (met.count is None and met.met > 0)
    run = server.run("r1")
    assert (steps(server, "r1"), run.overwritten, run.gaps) == (list(range(5)), [], [])
    assert run.exit_code == 0
    assert "config.yaml" in run.files


@pytest.mark.parametrize("status", [404, 409, 413])
def test_one_refusal_ends_the_stream_for_good(
    server: WandbServer, program: Program, status: int
) -> None:
    fault = server.faults.add("file_stream", status=status, count=1)
    program(RUN)
    assert fault.met == 1
    assert server.run("r1").rows == []
    assert server.run("r1").state == "running"


def test_a_hanging_request_is_lost_when_it_is_let_go(server: WandbServer, program: Program) -> None:
    fault = server.faults.add("file_stream", hang=True)
    process = program.start(RUN)
    until(lambda: fault.met > 0, "the stream hangs")
    assert server.run("r1").rows == []
    fault.lift()
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert steps(server, "r1") == list(range(5))


def test_an_outage_ends_and_everything_is_still_there(
    server: WandbServer, program: Program
) -> None:
    process = program.start(
        """
        import wandb
        run = wandb.init(project="p", id="r1")
        run.log({"x": 0}, step=0, commit=True)
        input()
        run.log({"x": 1}, step=1)
        run.log({"x": 2}, step=2)
        run.finish()
        """
    )
    until(lambda: server.rows("r1") != [], "the first row is there")
    url = server.url
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    server.start()
    assert server.url == url
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert steps(server, "r1") == [0, 1, 2]


def test_a_reset_is_a_reset(server: WandbServer) -> None:
    fault = server.faults.add("file_stream", reset=True, count=1)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        requests.post(f"{server.url}/files/us/p/r1/file_stream", json={}, auth=("api", KEY))
    assert fault.met == 1
    assert fault.is_over


def test_faults_are_one_thing_each(server: WandbServer) -> None:
    with pytest.raises(ValueError, match="one of status, hang, slow and reset"):
        server.faults.add("any", status=500, hang=True)


# -- who may ask, and how --------------------------------------------------------------------------


def ask(server: WandbServer, query: str, key: str = KEY, **variables: Any) -> requests.Response:
    body = {"query": query, "variables": variables}
    return requests.post(f"{server.url}/graphql", json=body, auth=("api", key))


def test_keys_are_checked(server: WandbServer) -> None:
    query = "query Viewer { viewer { username } }"
    assert ask(server, query).json()["data"] == {"viewer": {"username": "ada"}}
    assert ask(server, query, key="short").status_code == 401
    server.refused_keys.add(KEY)
    assert ask(server, query).status_code == 401
    assert requests.post(f"{server.url}/graphql", json={"query": query}).status_code == 401
    assert requests.post(f"{server.url}/files/us/p/r1/file_stream", json={}).status_code == 401


def test_the_executor_knows_aliases_fragments_directives_and_counts_what_it_does_not(
    server: WandbServer,
) -> None:
    query = """
    query Some($with: Boolean = false, $name: String!) {
        me: viewer { ...Who ... on User { id @include(if: $with) } ... on Robot { id } }
        project(name: $name) { name }
    }
    fragment Who on User { called: username @skip(if: $with) shoeSize }
    """
    assert ask(server, query, name="none").json()["data"] == {
        "me": {"called": "ada", "shoeSize": None},
        "project": None,
    }
    assert server.unknown_fields == {"User.shoeSize": 1}
    assert server.operations == ["Some"]
    assert ask(server, "query {").status_code == 400


def test_downloads_come_in_parts_and_uploads_in_chunks(
    server: WandbServer, program: Program
) -> None:
    program(RUN)
    made = ask(
        server,
        """mutation M($files: [String!]!) { createRunFiles(input: {entityName: "us",
        projectName: "p", runName: "r1", files: $files}) { files { uploadUrl } } }""",
        files=["f.bin"],
    )
    [file] = made.json()["data"]["createRunFiles"]["files"]
    digest = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    wrong = requests.put(file["uploadUrl"], data=b"0123", headers={"Content-MD5": digest})
    assert wrong.status_code == 400
    assert requests.put(file["uploadUrl"], data=iter([b"0123", b"456789"])).ok
    assert server.run("r1").files["f.bin"] == b"0123456789"
    part = requests.get(file["uploadUrl"], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    rest = requests.get(file["uploadUrl"], headers={"Range": "bytes=8-"})
    assert rest.content == b"89"
    beyond = requests.get(file["uploadUrl"], headers={"Range": "bytes=10-"})
    assert beyond.status_code == 416


def test_a_run_without_a_word_for_long_has_crashed(server: WandbServer, program: Program) -> None:
    program(RUN)
    run = server.run("r1")
    run.told_state = "running"
    assert run.state == "running"
    run.clock = lambda: time.time() + 301
    assert run.state == "crashed"


def test_it_runs_as_a_program() -> None:
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-m", "wandb_server", "--end-with-parent"],
        env={**os.environ, "PYTHONPATH": tests},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert "stand-in" in requests.get(url).text
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(LIMIT) == 0
