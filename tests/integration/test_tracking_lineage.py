"""What a run's page in W&B has beside its rows: lineage, forks, labels, alerts, the Stop button."""

from contextlib import closing
from pathlib import Path

import pytest
import wandb
from arrival import KEY, LIMIT, Tracked, online, until
from tracked_runs import done, moment
from wandb_server.server import WandbServer

from midcourse.contract.commands import Pause
from midcourse.contract.imported import ImportedRun
from midcourse.contract.paths import RunPaths
from midcourse.contract.receipts import CommandState
from midcourse.contract.records import CheckpointDeleted
from midcourse.contract.runs import Origin, RunLabels, RunStatus
from midcourse.journal import Journal


@pytest.fixture
def parent(tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Tracked:
    online(monkeypatch, server)
    return Tracked(tmp_path / "home", server, "rparent")


@pytest.fixture
def child(parent: Tracked) -> Tracked:
    return Tracked(parent.paths.home, parent.server, "rchild")


def versions(run: Tracked) -> int:
    """How often checkpoints of the run were uploaded."""
    every = run.server.artifacts
    return sum(version.collection.name == f"{run.id}-checkpoint" for version in every)


def train_parent(parent: Tracked) -> None:
    """30 steps, with checkpoints after 9 (best), 19 and 29."""
    tracker = parent.tracker()
    parent.begin()
    parent.use_dataset()
    for step in (9, 19, 29):
        parent.train(step + 1 - parent.step)
        parent.keep(best=step == 9)
    parent.end()
    assert tracker.finish(LIMIT).state == "finished", parent.status()


def train_child(child: Tracked, step: int) -> None:
    tracker = child.tracker()
    child.step = step + 1
    child.begin(origin=Origin(run="rparent", checkpoint=f"step-{step}"))
    child.use_dataset()
    child.train(10)
    child.keep(best=True)
    child.end()
    assert tracker.finish(LIMIT).state == "finished", child.status()


def label(run: Tracked, labels: RunLabels) -> None:
    """As the control API does."""
    fresh = run.paths.labels.with_suffix(".new")
    fresh.write_text(labels.to_json())
    fresh.replace(run.paths.labels)


def published(run: Tracked) -> dict[str, set[str]]:
    return {
        version.metadata["name"]: set(version.aliases)
        for version in run.server.artifacts
        if version.collection.name == f"{run.id}-checkpoint" and version.state == "COMMITTED"
    }


def used(run: Tracked) -> set[str]:
    return {version.metadata["name"] for version in run.at_server().used}


def test_a_fork_uses_its_parents_checkpoint_and_both_their_data(
    parent: Tracked, child: Tracked
) -> None:
    train_parent(parent)
    assert published(parent) == {"step-9": {"step-9", "best"}, "step-29": {"step-29", "latest"}}
    train_child(child, 29)
    assert used(parent) == {"digits"}
    assert used(child) == {"digits", "step-29"}
    data = [version for version in parent.server.artifacts if version.type == "dataset"]
    assert len(data) == 1
    assert data[0].metadata["labels"] == {"a": 5, "b": 7}
    assert (child.status().fork, child.status().error) == ("linked", None)
    assert child.at_server().config["midcourse"]["fork"] == "linked"


def test_what_a_fork_began_with_is_published_when_its_parent_has_ended(
    parent: Tracked, child: Tracked
) -> None:
    train_parent(parent)
    pins = parent.paths.pins("step-19")
    pins.mkdir()
    (pins / "rchild").touch()
    train_child(child, 19)
    assert used(child) == {"digits", "step-19"}
    assert published(parent)["step-29"] == {"step-29", "latest"}
    assert published(parent)["step-19"] == {"step-19"}
    assert parent.at_server().state == "finished"


def test_what_a_fork_begins_with_is_published_while_its_parent_trains(parent: Tracked) -> None:
    tracker = parent.tracker()
    parent.begin()
    parent.train(10)
    parent.keep()
    parent.paths.pins("step-9").mkdir()
    (parent.paths.pins("step-9") / "rchild").touch()
    parent.train(10)
    until(lambda: "step-9" in published(parent), "it is published")
    parent.end()
    tracker.finish(LIMIT)


def test_the_best_that_is_also_the_last_is_uploaded_once_though_its_journal_has_grown(
    parent: Tracked,
) -> None:
    tracker = parent.tracker()
    parent.begin()
    parent.train(5)
    parent.keep()
    parent.train(5)
    parent.keep(best=True)
    until(lambda: "step-9" in published(parent), "the best is published")
    parent.paths.pins("step-4").mkdir()
    (parent.paths.pins("step-4") / "rchild").touch()
    until(lambda: "step-4" in published(parent), "what a fork began with is published")
    with closing(Journal(parent.paths.journal)) as journal:
        said = done(1, 9, Pause(), state=CommandState.REJECTED)
        journal.refuse(said.command, said.receipt)
    parent.end()
    assert tracker.finish(LIMIT).state == "finished", parent.status()
    assert published(parent) == {"step-4": {"step-4"}, "step-9": {"step-9", "best", "latest"}}
    assert versions(parent) == 2


def test_what_retention_deletes_is_deleted_unless_another_run_uses_it(
    parent: Tracked, child: Tracked
) -> None:
    tracker = parent.tracker()
    parent.begin()
    for step in (9, 19):
        parent.train(10)
        parent.keep(best=True)
        until(lambda step=step: f"step-{step}" in published(parent), "it is published")  # type: ignore[misc]
    train_child(child, 19)
    for name in ("step-9", "step-19"):
        parent.say(CheckpointDeleted(at=moment(20), name=name))
    parent.train(10)
    parent.keep(best=True)
    until(lambda: "step-9" not in published(parent), "it is deleted")
    parent.end()
    assert tracker.finish(LIMIT).state == "finished"
    assert set(published(parent)) == {"step-19", "step-29"}


@pytest.mark.parametrize("kind", ["native", "refused", "ignored"])
def test_a_fork_is_native_where_the_server_has_that(
    parent: Tracked, child: Tracked, kind: str
) -> None:
    parent.server.native_forks = kind == "native"
    parent.server.refuses_forks = kind == "refused"
    train_parent(parent)
    train_child(child, 9)
    steps = [row["_step"] for row in child.rows()]
    if kind == "native":
        assert steps == list(range(20))
        assert child.rows()[5]["train/loss"] == parent.rows()[5]["train/loss"]
        assert child.status().fork == "native"
    else:
        assert steps == list(range(10, 20))
        assert child.status().fork == "linked"
    assert child.at_server().config["midcourse"]["fork"] == child.status().fork
    assert used(child) >= {"step-9"}


def test_a_native_fork_is_one_after_a_restart(parent: Tracked, child: Tracked) -> None:
    parent.server.native_forks = True
    train_parent(parent)
    child.step = 10
    first = child.tracker()
    origin = Origin(run="rparent", checkpoint="step-9")
    child.begin(origin=origin)
    child.train(10)
    child.end(RunStatus.INTERRUPTED)
    assert first.finish(LIMIT).fork == "native"
    second = child.tracker()
    child.step = 15
    child.begin(2, origin)
    child.train(15)
    child.end()
    assert second.finish(LIMIT).fork == "native"
    assert [row["_step"] for row in child.rows()] == list(range(30))


def test_the_stop_button_becomes_a_wish_to_stop(parent: Tracked) -> None:
    tracker = parent.tracker()
    parent.begin()
    parent.train(5)
    until(lambda: len(parent.rows()) >= 4, "the run is there")
    parent.server.press_stop(parent.id)
    until(parent.paths.stop_wish.exists, "the wish is there")
    parent.end(RunStatus.STOPPED)
    assert tracker.finish(LIMIT).state == "finished"


def test_alerts_are_told_once_though_the_tracker_is_restarted(
    parent: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDCOURSE_ALERTS", "failed")
    for attempt in (1, 2):
        tracker = parent.tracker()
        parent.begin(attempt)
        parent.train(5)
        ended = RunStatus.FAILED if attempt == 1 else RunStatus.FINISHED
        parent.end_now(ended)
        assert tracker.finish(LIMIT).state == "finished"
    [alert] = parent.at_server().alerts
    assert alert.title == "rparent failed"


def test_labels_are_shown_and_what_people_wrote_on_the_page_stays(
    parent: Tracked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracker = parent.tracker()
    parent.begin()
    parent.train(5)
    label(parent, RunLabels(name="first", tags=["a", "b"], notes="ours"))
    until(lambda: len(parent.rows()) >= 4, "the run is there")
    until(lambda: set(parent.at_server().tags) == {"a", "b"}, "the tags are shown")
    api = wandb.Api(overrides={"base_url": parent.server.url}, api_key=KEY)
    page = api.run(f"us/midcourse/{parent.id}")
    page.tags, page.notes = [*page.tags, "theirs"], f"{page.notes}\ntheirs, too"
    page.update()
    label(parent, RunLabels(name="second", tags=["b", "c"], notes="mine"))
    until(lambda: parent.at_server().display_name == "second", "the name is shown")
    parent.say(done(1, 4, Pause()))
    parent.train(5)
    parent.change(2)
    parent.end()
    assert tracker.finish(LIMIT).state == "finished"
    found = parent.at_server()
    assert set(found.tags) == {"b", "c", "theirs"}
    assert found.notes == "mine\ntheirs, too"
    assert found.group == "digits"
    assert found.job_type == "train"


def test_a_fork_of_a_run_from_elsewhere_uses_the_artifact_that_it_came_as(
    parent: Tracked, child: Tracked, tmp_path: Path
) -> None:
    train_parent(parent)
    [version] = [each for each in parent.server.artifacts if each.metadata.get("step") == 29]
    here = Tracked(tmp_path / "elsewhere", parent.server, "rchild")
    imported = ImportedRun(
        run=parent.id,
        server=parent.server.url,
        artifacts={"step-29": f"us/midcourse/{version.name}"},
    )
    file = RunPaths(here.paths.home, parent.id).imported
    file.parent.mkdir()
    file.write_text(imported.to_json())
    train_child(here, 29)
    assert used(here) == {"digits", "step-29"}
