"""What did this change do? What is said of a fork, and when nothing may be said."""

import pytest
import shown_runs as s
import tracked_runs as t

from dashboards.home import read_run
from dashboards.lineage import lineage, told
from dashboards.pages import what_changed
from midcourse.contract.commands import TakeCheckpoint
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import Origin


def pair(tmp_path, ours, theirs, more=(), config=None, **origin):
    """A fork after step 5 and its parent, each with what it logged at each step."""
    origin = Origin(run="rparent", checkpoint="step-5", actor="ada", **origin)
    parent, child = s.run_file("rparent"), s.run_file("rchild", origin=origin)
    child = child.model_copy(update={"config": config or s.CONFIG})
    s.put_run(tmp_path, parent, [s.started(parent), *theirs, *more])
    s.put_run(tmp_path, child, [s.started(child, 6), *ours])
    return read_run(tmp_path, "rchild"), read_run(tmp_path, "rparent")


def test_where_the_main_metric_has_no_step_in_common_another_tells(tmp_path):
    ours = [t.metrics(7, val_accuracy=0.9), t.metrics(8, loss=1.0)]
    theirs = [t.metrics(9, val_accuracy=0.8), t.metrics(8, loss=2.0)]
    page = what_changed(*pair(tmp_path, ours, theirs))
    assert page.intro[1] == (
        "At step 8, the last at which both were measured, loss of rchild is 1, and of rparent 2: "
        "better by 1. They are judged by val_accuracy, but have logged it at no common step since "
        "they parted."
    )


def change_of(page):
    return page.sections[0].panels[0]


def test_a_fork_without_a_change_goes_on_as_its_parent_does(tmp_path):
    child, parent = pair(tmp_path, [], [], [t.lr_set(1, 4, 0.1, 0.05)])
    page = what_changed(child, parent)
    assert "goes on exactly as its parent does" in change_of(page).explanation
    assert page.intro[0].endswith("made by ada, with no change.")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (s.CONFIG | {"model": {"dropout": 0.5, "width": 8}}, "The model was edited at the fork"),
        (s.CONFIG | {"data": {"size": 9}}, "weights that fit it were kept"),
    ],
)
def test_a_fork_with_an_edited_configuration_is_no_fork_without_a_change(tmp_path, config, said):
    page = what_changed(*pair(tmp_path, [], [], config=config, warm_start=True))
    assert page.intro[0].endswith("made by ada, with another configuration.")
    assert said in page.intro[2]
    assert ("model was edited" in page.intro[2]) == ("width" in config["model"])
    change = change_of(page)
    assert "exactly" not in change.explanation
    name, value = ("model.width", 8) if "width" in config["model"] else ("data.size", 9)
    assert change.rows == [[name, None, value, "configured"]]
    runs = list(pair(tmp_path, [], [], config=config, warm_start=True))
    assert told_of(runs, "rchild").endswith("forked after step 5 · with another configuration")


def told_of(runs, name):
    return next(told(branch, None) for branch in lineage(runs) if branch.id == name)


@pytest.mark.parametrize(
    ("more", "revert"), [([t.lr_set(1, 5, 0.1, 0.05)], False), ([], True), ([], False)]
)
def test_a_child_without_what_was_done_to_its_parent_says_so(tmp_path, more, revert):
    page = what_changed(*pair(tmp_path, [], [], more, revert=revert))
    without = "The child goes on without what was done to the parent after step 5."
    assert (without == change_of(page).explanation) == bool(more or revert)
    assert ("with no change" in page.intro[0]) == (not revert)


def test_a_command_that_did_not_act_or_changed_nothing_does_not_part_runs(tmp_path):
    more = [
        t.lr_set(1, 6, 0.1, 0.05, state=CommandState.REJECTED, reason="no"),
        t.done(2, 7, TakeCheckpoint(), after={"checkpoint": "step-7"}),
    ]
    assert "exactly as" in change_of(what_changed(*pair(tmp_path, [], [], more))).explanation
