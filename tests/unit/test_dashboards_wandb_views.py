"""What is saved in W&B: golden files of every spec, and what becomes of what people did to it.

`MIDCOURSE_WRITE_GOLDEN=1` writes the golden files anew; read what changed.
"""

import json
import os
import warnings
from copy import deepcopy
from pathlib import Path

import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.account import Account, CannotPublish
from dashboards.home import read_experiment
from dashboards.made import Wanted, make_all
from dashboards.pages import comparison, monitor, what_changed
from dashboards.pages import workspace as workspace_page
from dashboards.panels import LineageTree, Rows
from dashboards.records import Run
from midcourse.contract.runs import Origin, RunStatus

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # W&B's packages are written for an older pydantic
    from dashboards.wandb_views import kept_blocks, kept_panels
    from dashboards.wandb_views.markdown import escape, lineage_tree, rows_table
    from dashboards.wandb_views.marks import is_own, own_id, view_name
    from dashboards.wandb_views.memory import Memory
    from dashboards.wandb_views.place import Place
    from dashboards.wandb_views.publish import spec_of
    from dashboards.wandb_views.report import report
    from dashboards.wandb_views.workspace import workspace

GOLDEN = Path(__file__).parents[1] / "golden" / "dashboards" / "wandb"
PLACE = Place("us", "p", "17")
KINDS = ["workspace", "monitor", "comparison", "what_changed"]


@pytest.fixture
def home(tmp_path):
    return s.put_experiment(tmp_path / "home")


@pytest.fixture
def experiment(home):
    return read_experiment(home, s.EXPERIMENT)


def drawn(experiment):
    runs = experiment.runs
    baseline, gentler = experiment.run(s.BASELINE), experiment.run(s.GENTLER)
    return {
        "workspace": workspace(workspace_page(experiment), runs, PLACE),
        "monitor": report(monitor(baseline), runs, PLACE),
        "comparison": report(comparison(runs), runs, PLACE),
        "what_changed": report(what_changed(gentler, baseline), runs, PLACE),
    }


def stable(value):
    """A spec without the ids that W&B's package draws by lot."""
    if isinstance(value, dict):
        ids = ("id", "__id__")
        return {
            key: "by lot" if key in ids and isinstance(each, str) and not is_own(each) else each
            for key, each in ((key, stable(each)) for key, each in value.items())
        }
    return [stable(each) for each in value] if isinstance(value, list) else value


# -- what is made ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_is_what_its_golden_file_says(experiment, kind):
    said = json.dumps(stable(spec_of(drawn(experiment)[kind])), indent=1, ensure_ascii=False)
    file = GOLDEN / f"{kind}.json"
    if os.environ.get("MIDCOURSE_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{said}\n")
    assert f"{said}\n" == file.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_panel_is_drawn(experiment, kind):
    text = json.dumps(spec_of(drawn(experiment)[kind]))
    wanted = {
        "workspace": ["Run History Line Plot", "Vega2", "Media Browser", "Weave", "Markdown Panel"],
        "monitor": ["Run History Line Plot", "Scalar Chart", "Vega2", "Media Browser", "Weave"],
        "comparison": ["Run Comparer", "Parallel Coordinates Plot", "Parameter Importance"],
        "what_changed": ["Run History Line Plot", "Run Comparer", "Vega2"],
    }[kind]
    assert [name for name in wanted if f'"viewType": "{name}"' not in text] == []


def test_curves_stand_over_our_step_and_of_a_change_from_the_fork_on(experiment):
    spec = spec_of(drawn(experiment)["what_changed"])
    (grid,) = grids_with(spec, "Run History Line Plot")
    lines = [
        panel["config"]
        for panel in grid["panelBankSectionConfig"]["panels"]
        if panel["viewType"] == "Run History Line Plot"
    ]
    assert {(each["xAxis"], each["xAxisMin"]) for each in lines} == {("step", 5.0)}
    assert shown_by(grid) == ("name", [s.BASELINE, s.GENTLER])


def grids_with(spec, kind):
    """The grids of a report in which a panel of W&B's kind stands."""
    grids = [each["metadata"] for each in spec["blocks"] if each["type"] == "panel-grid"]
    return [
        grid
        for grid in grids
        if kind in [panel["viewType"] for panel in grid["panelBankSectionConfig"]["panels"]]
    ]


def shown_by(grid):
    """By what the runs of a grid are chosen."""
    (found,) = grid["runSets"][0]["filters"]["filters"]
    return found["key"]["name"], found["value"]


def test_a_panel_of_some_runs_shows_those_and_one_of_all_those_that_come_later_too(tmp_path):
    for number in range(20):
        file = s.run_file(f"r{number:02}", config={"width": number})
        logged = [t.metrics(0, val_loss=float(number)), *s.evaluation(0, 8)]
        s.put_run(tmp_path, file, [s.started(file, values={}), *logged])
    runs = read_experiment(tmp_path, s.EXPERIMENT).runs
    spec = spec_of(report(comparison(runs), runs, PLACE))
    best = ("name", [f"r{number:02}" for number in range(12)])
    for kind in ("Media Browser", "Weave"):
        assert {str(shown_by(grid)) for grid in grids_with(spec, kind)} == {str(best)}
    for kind in ("Run History Line Plot", "Parallel Coordinates Plot", "Run Comparer"):
        assert {shown_by(grid) for grid in grids_with(spec, kind)} == {("group", s.EXPERIMENT)}


def test_a_count_is_told_to_the_last_digit():
    rows = [["steps", 1234567], ["share", 0.123456], ["on", True], ["none", None]]
    table = rows_table(Rows(title="T", columns=["fact", "value"], rows=rows))
    assert [line.split(" | ")[1].rstrip(" |") for line in table.splitlines()[2:]] == [
        "1234567",
        "0.1235",
        "true",
        "",
    ]


def test_ids_of_a_workspace_are_ours_and_the_same_each_time(experiment):
    def ids():
        sections = spec_of(drawn(experiment)["workspace"])["section"]["panelBankConfig"]["sections"]
        return [x["__id__"] for each in sections for x in (each, *each["panels"])]

    found = ids()
    assert found == ids()
    assert len(found) == len(set(found))
    assert all(is_own(each) for each in found)
    assert not is_own("1l64xa2efde")
    assert not is_own(None)
    assert len(view_name("a")) == 11
    assert own_id("a", "b") != own_id("a b")


def test_a_title_that_is_too_long_for_wandb_is_cut(experiment):
    page = comparison(experiment.runs)
    long = page.model_copy(update={"title": "x" * 300})
    assert report(long, experiment.runs, PLACE).title == "x" * 127 + "…"


def run(run_id, parent=None, step=5, **changes):
    origin = parent and Origin(run=parent, checkpoint=f"step-{step}", changes=changes, actor="ada")
    return Run(s.run_file(run_id, origin=origin), Path(), RunStatus.FINISHED)


def test_the_lineage_is_drawn_with_lines_of_text():
    runs = [
        run("r1"),
        run("r2", "r1", 3),
        run("r3", "r2", 4, **{"optimizer.lr": 0.1}),
        run("r4", "r1", 5),
        run("r5", "r4", 6),
        run("r6", "rgone"),
    ]
    panel = LineageTree(title="Lineage", runs=[each.id for each in runs])
    assert lineage_tree(panel, runs).splitlines() == [
        "r1  finished",
        "├─ r2  finished · forked after step 3",
        "│  └─ r3  finished · forked after step 4 · optimizer.lr = 0.1",
        "└─ r4  finished · forked after step 5",
        "   └─ r5  finished · forked after step 6",
        "rgone  not here",
        "└─ r6  finished · forked after step 5",
    ]


def test_names_that_people_chose_are_no_markup():
    assert escape("a|b *c*\n[d](e) <f>") == r"a\|b \*c\* \[d\](e) \<f\>"


def test_of_many_runs_those_heard_of_last_have_pages_of_their_own(tmp_path):
    for number in range(14):
        file = s.run_file(f"r{number:02}")
        begun = s.started(file).model_copy(update={"at": t.moment(number)})
        late = [t.metrics(60, loss=1.0)] if number == 0 else []  # it began first, and still trains
        s.put_run(tmp_path, file, [begun, *late])
    making = make_all(tmp_path, Wanted(s.EXPERIMENT))
    assert [made.page.kind for made in making.pages] == ["workspace", "comparison"] + [
        "monitor"
    ] * 12
    own = [made.runs[0].id for made in making.pages[2:]]
    assert own == ["r00", *(f"r{number:02}" for number in range(3, 14))]
    assert [made.runs[0].id for made in making.older] == ["r01", "r02"]
    assert making.notes == [
        "of 14 runs, the 12 heard of last get pages of their own; --run and --fork make those of "
        "others"
    ]
    assert len(making.runs) == 14


def test_what_a_report_said_last_is_remembered(tmp_path):
    memory = Memory(tmp_path, "https://w")
    assert not memory.has_other("us/p", "report", "one"), "it was never published"
    memory.keep("us/p", "report", "id1", "one")
    memory.keep("us/p", "space", "id2")
    assert not memory.has_other("us/p", "report", "one")
    assert memory.has_other("us/p", "report", "two")
    assert not memory.has_other("us/q", "report", "two")
    assert (memory.id_of("us/p", "report"), memory.id_of("us/p", "space")) == ("id1", "id2")
    (tmp_path / "published.json").write_text('{"https://w us/p report": "id1"}')
    assert memory.has_other("us/p", "report", "one"), "an older Midcourse did not remember it"


# -- what people did -------------------------------------------------------------------------------

THEIRS = {"__id__": "abc123def", "viewType": "Markdown Panel", "config": {"value": "theirs"}}


def sections(spec):
    return spec["section"]["panelBankConfig"]["sections"]


def names(spec):
    return {each["name"]: [panel["__id__"] for panel in each["panels"]] for each in sections(spec)}


def test_what_people_did_to_a_workspace_stays(experiment):
    fresh = spec_of(drawn(experiment)["workspace"])
    found = deepcopy(fresh)
    training, interventions, *_ = sections(found)
    training["panels"].insert(1, THEIRS)
    training["isOpen"] = False
    moved = training["panels"].pop(3)
    moved["config"]["smoothingWeight"] = 0.9
    mine = {"name": "Mine", "panels": [{**THEIRS, "__id__": "mine"}, moved]}
    sections(found).insert(0, mine)
    sections(found).remove(interventions)
    sections(found).append(interventions)
    found["section"]["settings"]["smoothingWeight"] = 3
    found["unknown to the package"] = {"kept": True}
    merged = kept_panels.with_ours(found, fresh)
    assert merged == found

    changed = deepcopy(fresh)
    for panel in [panel for each in sections(changed) for panel in each["panels"]]:
        if panel["__id__"] == moved["__id__"]:
            panel["config"]["chartTitle"] = "another title"
    merged = kept_panels.with_ours(found, changed)
    assert names(merged) == names(found)
    again = sections(merged)[0]["panels"][1]["config"]
    assert (again["chartTitle"], again["smoothingWeight"]) == ("another title", 0.9)


def test_new_panels_stand_behind_ours_and_old_ones_go(experiment):
    fresh = spec_of(drawn(experiment)["workspace"])
    found = deepcopy(fresh)
    training = sections(found)[0]
    new = training["panels"].pop()
    old = {**training["panels"][1], "__id__": own_id("panel", "Training", "gone")}
    training["panels"] += [old, THEIRS]
    gone = sections(found).pop()
    merged = kept_panels.with_ours(found, fresh)
    ids = [panel["__id__"] for panel in sections(merged)[0]["panels"]]
    assert ids[-2:] == [new["__id__"], THEIRS["__id__"]]
    assert old["__id__"] not in ids
    assert sections(merged)[-1] == gone


def test_a_section_whose_id_was_lost_is_known_by_its_name(experiment):
    fresh = spec_of(drawn(experiment)["workspace"])
    found = deepcopy(fresh)
    del sections(found)[0]["__id__"]
    assert names(kept_panels.with_ours(found, fresh)) == names(fresh)


def paragraph(text):
    return {"type": "paragraph", "children": [{"text": text}]}


@pytest.fixture
def published(experiment):
    return kept_blocks.marked(spec_of(drawn(experiment)["comparison"]))


@pytest.fixture
def news(experiment):
    other = spec_of(report(comparison(experiment.runs[:2]), experiment.runs, PLACE))
    return kept_blocks.marked(other)


def test_a_report_with_nothing_new_to_say_is_left_alone(experiment, published):
    again = kept_blocks.marked(spec_of(drawn(experiment)["comparison"]))
    assert kept_blocks.with_ours(published, again) == kept_blocks.Merged(None, loses=False)


def test_what_people_wrote_around_our_part_of_a_report_stays(published, news):
    above, below = paragraph("Read this first"), {"type": "image", "url": "theirs"}
    found = {**published, "blocks": [above, *published["blocks"], below], "discussionThreads": [1]}
    merged = kept_blocks.with_ours(found, news)
    assert not merged.loses
    assert merged.spec["blocks"][0] == above
    assert merged.spec["blocks"][-1] == below
    assert merged.spec["discussionThreads"] == [1]
    part = news["blocks"][1:-1]
    assert merged.spec["blocks"][2:-2] == part


def test_what_people_did_within_our_part_is_noticed(published, news):
    found = deepcopy(published)
    found["blocks"].insert(5, paragraph("I think that …"))
    merged = kept_blocks.with_ours(found, news)
    assert merged.loses
    assert merged.spec["blocks"][1:-1] == news["blocks"][1:-1]
    assert kept_blocks.with_ours(found, published).spec is None, "without news it stays"


def test_ids_that_wandb_gives_anew_are_no_change(published, news):
    found = json.loads(json.dumps(published).replace('"__id__": "', '"__id__": "x'))
    assert not kept_blocks.with_ours(found, news).loses


def test_a_report_without_our_sentences_is_written_anew(published, news):
    found = {**published, "blocks": [paragraph("all mine")]}
    merged = kept_blocks.with_ours(found, news)
    assert merged.loses
    assert merged.spec["blocks"] == news["blocks"]


# -- the account -----------------------------------------------------------------------------------


def test_the_account_is_read_as_the_tracker_reads_it(tmp_path):
    file = tmp_path / "key"
    file.write_text("secret\n")
    assert Account.read({"WANDB_API_KEY_FILE": str(file)}).api_key == "secret"
    assert Account.read({"WANDB_TOKEN": "t", "WANDB_API_KEY": ""}).api_key == "t"
    given = {"WANDB_API_KEY": "k", "WANDB_ENTITY": "us", "WANDB_PROJECT": "p"}
    account = Account.read({**given, "WANDB_BASE_URL": "http://localhost:1/"}, project="q")
    assert (account.entity, account.project, account.base_url) == ("us", "q", "http://localhost:1")
    assert "k" not in repr(account).replace("key", "")
    assert "api_key" not in account.to_json()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "set WANDB_API_KEY, or write a page that needs no account with --html FILE"),
        ({"WANDB_API_KEY": " "}, "there is no W&B key"),
        ({"WANDB_API_KEY_FILE": "/nowhere/key"}, r"cannot be read \(No such file or directory\)"),
        ({"WANDB_API_KEY": "k", "WANDB_BASE_URL": "wandb.ai"}, "must start with http"),
    ],
)
def test_what_is_missing_to_publish_is_said(environ, message):
    with pytest.raises(CannotPublish, match=message):
        Account.read(environ)
