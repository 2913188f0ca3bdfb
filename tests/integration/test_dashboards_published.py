"""`python -m dashboards publish` against the stand-in: runs that trained, and people at work."""

import fcntl
import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
import shown_runs as s
import tiny_run
import tracked_runs as t

from midcourse.contract.paths import RunPaths
from midcourse.contract.runs import Origin, RunStatus, TrackingStatus

KEY = "key0123456789" * 5
LIMIT = 120
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(server, tmp_path, monkeypatch):
    for name in [each for each in os.environ if each.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")


@pytest.fixture
def home(tmp_path, server):
    """An experiment's logs, and a project that knows its runs by nothing but its own name."""
    server.store.make_project("us", "midcourse")
    return s.put_experiment(tmp_path / "home")


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT
    )


def publish(home, *arguments):
    return python("-m", "dashboards", "publish", *arguments, "--home", str(home))


def links(home, *arguments):
    done = publish(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return {each["title"]: each["url"] for each in json.loads(done.stdout)["links"]}


def by_sdk(code, *arguments):
    """What a program that uses W&B's packages prints, as JSON."""
    head = """
        import json, sys
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
        url = sys.argv[1]
    """
    done = python("-c", textwrap.dedent(head) + textwrap.dedent(code), *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def views(server, kind):
    return [view for view in server.views if view.type == kind]


# -- runs that trained -----------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
def test_runs_that_trained_online_are_published(tmp_path, monkeypatch, server, native):
    server.native_forks = native
    home = tmp_path / "home"
    changed = tiny_run.command(1, "set", changes={"optimizer.lr": 0.01})
    tiny_run.train(home, commands={2: [changed]}, name="parent")
    origin = Origin(run="r1", checkpoint="step-2", changes={"optimizer.lr": 0.02}, actor="ada")
    monkeypatch.setenv("MIDCOURSE_ORIGIN", origin.to_json())
    tiny_run.train(home, run_id="r2", name="child")
    for run in ("r1", "r2"):
        told = TrackingStatus.model_validate_json(RunPaths(home, run).tracking_status.read_text())
        assert (told.mode, told.state) == ("online", "finished"), told.error
    done = publish(home, "tiny")
    assert (done.returncode, done.stderr) == (0, "")
    titles = [line.rpartition(": ")[0] for line in done.stdout.splitlines()]
    assert titles == [
        "Midcourse: tiny",
        "tiny: the runs compared",
        "Run parent (r1)",
        "Run child (r2)",
        "What did this change do? child (r2) against parent (r1)",
    ]
    assert len(views(server, "project-view")) == 1
    assert len(views(server, "runs")) == 4
    # What a panel asks for was logged, by the names that stand in W&B.
    logged = {name for run in server.runs for row in run.rows for name in row}
    spec = views(server, "project-view")[0].spec
    panels = [p for each in spec["section"]["panelBankConfig"]["sections"] for p in each["panels"]]
    lines = [p["config"] for p in panels if p["viewType"] == "Run History Line Plot"]
    asked = {name for line in lines for name in (*line["metrics"], line["xAxis"])}
    assert {"loss", "param/optimizer.lr", "step", "intervention"} <= asked
    assert asked <= logged
    filters = spec["section"]["runSets"][0]["filters"]["filters"][0]
    assert (filters["key"]["name"], filters["value"]) == ("group", "tiny")
    assert {run.group for run in server.runs} == {"tiny"}
    assert server.unknown_fields == {}


# -- read back by W&B's packages -------------------------------------------------------------------


def test_what_is_published_is_read_back_by_wandbs_packages(home, server):
    found = links(home, "digits")
    told = by_sdk(
        """
        space = ws.Workspace.from_url(url)
        report = wr.Report.from_url(sys.argv[2])
        grids = [each for each in report.blocks if isinstance(each, wr.PanelGrid)]
        print(json.dumps({
            "sections": [each.name for each in space.sections],
            "panels": sorted({type(p).__name__ for each in space.sections for p in each.panels}),
            "filters": space.runset_settings.filters,
            "axis": space.settings.x_axis,
            "blocks": sorted({type(each).__name__ for each in report.blocks}),
            "in grids": sorted({type(p).__name__ for grid in grids for p in grid.panels}),
            "of": [grids[0].runsets[0].project, grids[0].runsets[0].filters],
        }))
        """,
        found["Midcourse: digits"],
        found["digits: the runs compared"],
    )
    assert told == {
        "sections": ["Training", "Interventions", "Per-class", "Examples", "Layers", "System"],
        "panels": [
            "CustomChart",
            "LinePlot",
            "MarkdownPanel",
            "MediaBrowser",
            "WeavePanelSummaryTable",
        ],
        "filters": "Metric(\"Group\") == 'digits'",
        "axis": "step",
        "blocks": [
            "CodeBlock",
            "H2",
            "H3",
            "HorizontalRule",
            "MarkdownBlock",
            "P",
            "PanelGrid",
            "TableOfContents",
            "UnorderedList",
        ],
        "in grids": [
            "CustomChart",
            "LinePlot",
            "MarkdownPanel",
            "MediaBrowser",
            "ParallelCoordinatesPlot",
            "ParameterImportancePlot",
            "RunComparer",
            "WeavePanelSummaryTable",
        ],
        "of": ["midcourse", "Metric(\"Group\") == 'digits'"],
    }
    assert server.unknown_fields == {}


def test_published_again_links_stay_and_nothing_is_saved_without_news(home, server):
    first = links(home, "digits")
    assert links(home, "digits") == first
    assert {view.saves for view in server.views} == {1}
    assert len(server.views) == len(first)


def test_a_report_of_a_run_that_others_overtook_is_brought_up_to_date_when_it_ends(home, server):
    late = s.run_file("rlate", name="late")
    records = [s.started(late), t.metrics(1, loss=1.0)]
    s.put_run(home, late, records)
    titles = set(links(home, "digits"))
    assert "Run late (rlate)" in titles
    for number in range(12):
        file = s.run_file(f"rmore{number}")
        s.put_run(home, file, [s.started(file, 20), t.metrics(30, loss=1.0)])
    assert "Run late (rlate)" not in links(home, "digits"), "there is no news of it"
    [report] = [view for view in views(server, "runs") if view.display_name == "Run late (rlate)"]
    assert "Status: running" in report.spec_json
    s.put_run(home, late, [*records, t.status(RunStatus.FINISHED, 2)])
    assert "Run late (rlate)" in links(home, "digits")
    assert "Status: finished" in report.spec_json
    assert "Run late (rlate)" not in links(home, "digits")


# -- people at work --------------------------------------------------------------------------------


def a_fourth_run(home):
    """News: another run, with a metric that none had."""
    file = s.run_file("rfourth", name="fourth")
    s.put_run(home, file, [s.started(file), *s.other_records()[1:]])


def test_panels_and_sections_that_people_added_stay(home, server):
    link = links(home, "digits")["Midcourse: digits"]
    by_sdk(
        """
        space = ws.Workspace.from_url(url)
        space.name = "Our workspace"
        space.sections[0].panels.insert(0, wr.MarkdownPanel(markdown="look here"))
        space.sections[0].is_open = False
        mine = ws.Section(name="Mine", panels=[wr.ScalarChart(metric="reward")])
        mine.panels.append(space.sections[0].panels.pop(2))
        space.sections = [mine, *reversed(space.sections)]
        space.settings.smoothing_weight = 7
        space.save()
        print("null")
        """,
        link,
    )
    a_fourth_run(home)
    again = links(home, "digits")
    assert again["Our workspace"] == link
    told = by_sdk(
        """
        space = ws.Workspace.from_url(url)
        print(json.dumps({
            "sections": [each.name for each in space.sections],
            "mine": [type(each).__name__ for each in space.sections[0].panels],
            "first of training": space.sections[-1].panels[0].markdown,
            "open": space.sections[-1].is_open,
            "smoothing": space.settings.smoothing_weight,
        }))
        """,
        link,
    )
    assert told == {
        "sections": [
            "Mine",
            "System",
            "Layers",
            "Examples",
            "Per-class",
            "Interventions",
            "Training",
        ],
        "mine": ["ScalarChart", "LinePlot"],
        "first of training": "look here",
        "open": False,
        "smoothing": 7,
    }
    [space] = views(server, "project-view")
    assert space.saves == 3


def test_what_people_wrote_below_our_part_of_a_report_stays(home, server):
    link = links(home, "digits")["digits: the runs compared"]
    [report] = [view for view in views(server, "runs") if "compared" in view.display_name]
    blocks = [*report.spec["blocks"], {"type": "paragraph", "children": [{"text": "It works."}]}]
    report.spec_json = json.dumps({**report.spec, "blocks": blocks})
    report.display_name = "Our comparison"
    a_fourth_run(home)
    again = links(home, "digits")
    assert again["Our comparison"].rpartition("--")[2] == link.rpartition("--")[2]
    assert report.spec["blocks"][-1] == blocks[-1]
    assert "fourth (rfourth)" in report.spec_json
    assert views(server, "runs/draft") == []


def test_a_report_to_which_wandbs_package_gave_another_name_is_found(home, server):
    link = links(home, "digits")["digits: the runs compared"]
    by_sdk(
        """
        report = wr.Report.from_url(url)
        report.blocks += [wr.H1("What I think"), wr.P("It works.")]
        report.save()
        print("null")
        """,
        link,
    )
    a_fourth_run(home)
    assert links(home, "digits")["digits: the runs compared"] == link
    told = by_sdk(
        """
        report = wr.Report.from_url(url)
        code = [each.code for each in report.blocks if isinstance(each, wr.CodeBlock)]
        print(json.dumps([report.blocks[-2].text, report.blocks[-1].text, *code]))
        """,
        link,
    )
    assert told[:2] == ["What I think", "It works."]
    assert "fourth (rfourth)" in told[2]


def test_what_people_changed_within_our_part_is_kept_as_a_draft(home, server):
    link = links(home, "digits")["digits: the runs compared"]
    by_sdk(
        """
        report = wr.Report.from_url(url)
        report.blocks.insert(2, wr.P("I think that the third run is broken."))
        report.save()
        print("null")
        """,
        link,
    )
    a_fourth_run(home)
    done = publish(home, "digits")
    assert done.returncode == 0
    assert "their version is kept as a draft: " in done.stderr
    [draft] = views(server, "runs/draft")
    assert "I think that the third run is broken." in draft.spec_json
    today = f"{datetime.now(UTC):%Y}"
    assert draft.display_name.startswith(f"digits: the runs compared (as it was on {today}")
    [report] = [view for view in views(server, "runs") if "compared" in view.display_name]
    assert "third run is broken" not in report.spec_json
    assert "fourth (rfourth)" in report.spec_json


# -- what goes wrong -------------------------------------------------------------------------------


def test_one_page_alone_is_published(home, server):
    assert list(links(home, "--run", "baseline")) == ["Run baseline (rbaseline)"]
    assert list(links(home, "--fork", "gentler", "--project", "midcourse", "--entity", "us")) == [
        "What did this change do? gentler (rgentler) against baseline (rbaseline)"
    ]
    assert list(links(home, "digits", "--workspace")) == ["Midcourse: digits"]


def test_pages_of_one_home_are_published_one_at_a_time(home, server):
    command = [sys.executable, "-m", "dashboards", "publish", "digits", "--home", str(home)]
    command.append("--end-with-input")
    with (home / "publishing.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting, left = (
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(6)
        assert server.views == []
        left.stdin.close()
        assert left.wait(20) == 1, "it ends with whoever started it"
    assert waiting.wait(60) == 0
    waiting.communicate()
    left.stdout.close()
    assert len(server.views) == 6


def test_runs_that_wandb_does_not_have_are_told(home, server):
    done = publish(home, "--run", "baseline")
    assert "not in W&B's project yet" in done.stderr
    assert "rbaseline" in done.stderr


@pytest.mark.parametrize(
    ("environ", "arguments", "message"),
    [
        ({"WANDB_API_KEY": ""}, ["digits"], "set WANDB_API_KEY, or write a page that needs no"),
        ({"WANDB_BASE_URL": "http://127.0.0.1:9"}, ["digits"], "cannot be reached"),
        ({}, ["nothing"], "no run of the experiment 'nothing' has logged anything"),
        ({}, ["digits", "--fork", "baseline"], "is no fork"),
        ({"WANDB_PROJECT": "q"}, ["digits"], "W&B has no project us/q"),
        ({"WANDB_API_KEY": "refused" * 7}, ["digits"], "refuses the key: check WANDB_API_KEY"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    home, server, monkeypatch, environ, arguments, message
):
    server.refused_keys.add("refused" * 7)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    done = publish(home, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert server.views == []


def test_an_error_of_the_server_that_passes_is_waited_for(home, server):
    fault = server.faults.add("graphql", status=500, count=2)
    assert links(home, "--run", "baseline")
    assert fault.is_over


def test_a_file_needs_no_account(home, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY")
    file = tmp_path / "out.html"
    assert publish(home, "digits", "--html", str(file)).returncode == 0
    assert file.stat().st_size > 10_000
