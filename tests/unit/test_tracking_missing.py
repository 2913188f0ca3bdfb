"""What did not arrive is found, and files and config are sent once more."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midcourse.tracking.missing import Expected, Missing
from midcourse.tracking.progress import LOOK_SECONDS, Progress
from midcourse.tracking.wandb_compare import SETTLE_SECONDS, compare


class Server:
    """One run, as `Remote` tells of it."""

    def __init__(self) -> None:
        self.positions = [9]
        self.config: dict[str, Any] = {"midcourse": {"run": "r1", "lr": 0.1}, "theirs": 1}
        self.summary: dict[str, Any] = {"midcourse/status": "finished", "loss": "NaN"}
        self.files = {"media/images/a.png"}
        self.loses_files = False
        self.versions = {"step-5": None}
        self.journal: str | None = "abc"

    def run(self) -> Any:
        return SimpleNamespace(config=dict(self.config), summary=dict(self.summary))

    def last_position(self) -> int:
        return self.positions.pop(0) if len(self.positions) > 1 else self.positions[0]

    def set_config(self, config: dict[str, Any]) -> None:
        self.config |= config

    def file_names(self) -> set[str]:
        return set(self.files)

    def upload(self, file: Path, root: Path) -> None:
        if not self.loses_files:
            self.files.add(file.relative_to(root).as_posix())

    def journal_digest(self) -> str | None:
        return self.journal

    def checkpoints(self) -> dict[str, Any]:
        return self.versions


WANTED: dict[str, Any] = {
    "config": {"midcourse": {"run": "r1", "lr": 0.1}},
    "summary": {"midcourse/status": "finished", "loss": float("nan")},
}


@pytest.fixture
def fragment(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        file = tmp_path / "files" / "media" / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"png")
    return tmp_path


def found(server: Server, *fragments: Path, sleep: Callable[[float], None] = lambda _: None) -> str:
    expected = Expected(rows=10, last_position=9, checkpoints=["step-5"])
    missing = compare(
        server,  # type: ignore[arg-type]
        expected,
        fragments=fragments,
        journal="abc",
        sleep=sleep,
        **WANTED,
    )
    return str(missing)


def test_nothing_is_missing_where_all_is_there(fragment: Path) -> None:
    server = Server()
    server.files.add("media/images/b.png")
    assert found(server, fragment) == ""


@pytest.mark.parametrize("there", [None, "older"])
def test_a_journal_that_is_not_there_or_an_older_one_is_missing(there: str | None) -> None:
    server = Server()
    server.journal = there
    assert found(server) == "the journal"


def test_the_rest_of_the_rows_is_counted() -> None:
    server = Server()
    server.positions = [6]
    waited: list[float] = []
    assert found(server, sleep=waited.append) == "3 rows"
    assert SETTLE_SECONDS <= sum(waited) < 1.5 * SETTLE_SECONDS
    server.positions = [-1]
    assert found(server) == "10 rows"


def test_a_server_may_take_a_while_to_show_what_it_has() -> None:
    server = Server()
    server.positions = [3, 3, 9]
    waited: list[float] = []
    assert found(server, sleep=waited.append) == ""
    assert len(waited) == 2


def test_a_file_that_is_not_there_is_uploaded_again(fragment: Path) -> None:
    server = Server()
    assert found(server, fragment) == ""
    assert server.files == {"media/images/a.png", "media/images/b.png"}


def test_one_that_does_not_arrive_then_either_is_told(fragment: Path) -> None:
    server = Server()
    server.loses_files = True
    assert found(server, fragment) == "files (media/images/b.png)"


def test_a_config_is_set_again_and_what_others_wrote_stays() -> None:
    server = Server()
    server.config["midcourse"] = {"run": "r1", "lr": 9.0}
    assert found(server) == ""
    assert server.config == {"midcourse": {"run": "r1", "lr": 0.1}, "theirs": 1}


def test_a_summary_and_a_checkpoint_that_are_not_there_are_told() -> None:
    server = Server()
    server.summary["midcourse/status"] = "running"
    server.versions.clear()
    assert found(server) == "the summary (midcourse/status), checkpoints (step-5)"


def test_missing_is_false_where_nothing_is() -> None:
    assert not Missing()
    assert Missing(rows=1)
    assert str(Missing(rows=1, what=["the config"])) == "1 row, the config"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def next_look(self) -> None:
        self.now += LOOK_SECONDS


def test_sending_is_stuck_where_the_server_answers_and_stands_still() -> None:
    clock = Clock()
    progress = Progress(clock)
    assert not progress.is_stuck(100, lambda: pytest.fail("it was asked too early"))
    clock.next_look()
    assert not progress.is_stuck(100, lambda: 50)  # behind, but who knows since when
    clock.next_look()
    assert progress.is_stuck(200, lambda: 50)


@pytest.mark.parametrize("answers", [[50, 90], [50, 100], [50, None, 50]])
def test_sending_is_not_stuck_where_rows_arrive_or_the_server_is_away(
    answers: list[int | None],
) -> None:
    clock = Clock()
    progress = Progress(clock)

    def ask(answer: int | None) -> int:
        if answer is None:
            raise ConnectionError("away")
        return answer

    for answer in answers:
        clock.next_look()
        assert not progress.is_stuck(100, lambda answer=answer: ask(answer))  # type: ignore[misc]
