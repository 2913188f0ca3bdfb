"""The client: what it sends, how often, and what it makes of the answers."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from fake_control import (
    TOKEN,
    Asked,
    FakeControl,
    Said,
    command,
    problem,
    receipt,
    run,
    runs,
    serving,
)

from midcourse.client import (
    AmbiguousName,
    Client,
    Forbidden,
    NotApplied,
    NotFound,
    NotReachable,
    Refused,
    Troubled,
    Unauthenticated,
    UnknownName,
)
from midcourse.client.server_sent import lines_of, parse
from midcourse.contract.commands import At
from midcourse.contract.receipts import CommandState
from midcourse.contract.runs import RunStatus

RUN = "rbcdfghjk"


@pytest.fixture
def fake() -> Iterator[FakeControl]:
    yield from serving()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(fake: FakeControl, pauses: list[float]) -> Iterator[Client]:
    with Client(fake.url, TOKEN, sleep=pauses.append) as made:
        yield made


def test_answers_are_the_contracts_models(fake: FakeControl, client: Client) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(run(metrics={"loss": "NaN"})))
    found = client.run(RUN)
    assert (found.status, found.metrics) == (RunStatus.RUNNING, {"loss": "NaN"})
    assert fake.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_what_a_later_api_says_beside_it_is_passed_over(fake: FakeControl, client: Client) -> None:
    fake.on("GET", f"/runs/{RUN}", Said({**run(), "mood": "sunny"}))
    assert client.run(RUN).id == RUN


def test_what_lacks_something_is_told_as_another_version(fake: FakeControl, client: Client) -> None:
    fake.on("GET", f"/runs/{RUN}", Said({"id": RUN}))
    with pytest.raises(NotReachable, match=r"knows \(experiment\); `midcourse doctor` compares"):
        client.run(RUN)


@pytest.mark.parametrize(
    "trouble",
    [
        problem(503, "/problems/database-away", "away"),
        Said("<html>", 502),
        Said(run(), cut=True),
    ],
)
def test_a_request_is_sent_again_under_the_same_key(
    fake: FakeControl, client: Client, pauses: list[float], trouble: Said
) -> None:
    fake.on("POST", "/runs", trouble, trouble, Said(run(), 201))
    assert client.submit({"seed": 1}).id == RUN
    keys = {asked.headers["idempotency-key"] for asked in fake.asked}
    assert (len(fake.asked), len(keys)) == (3, 1)
    assert pauses == [0.25, 0.5]


def test_two_requests_have_two_keys(fake: FakeControl, client: Client) -> None:
    fake.on("POST", f"/runs/{RUN}/pause", Said(command()))
    client.pause(RUN)
    client.pause(RUN)
    assert len({asked.headers["idempotency-key"] for asked in fake.asked}) == 2


def test_trouble_that_stays_is_told(fake: FakeControl, client: Client) -> None:
    fake.on("GET", "/slots", problem(503, "/problems/database-away", "Nothing was changed."))
    fake.on("GET", f"/runs/{RUN}", problem(503, "/problems/database-away", "Nothing was changed."))
    with pytest.raises(Troubled, match="Nothing was changed"):
        client.run(RUN)
    assert len(fake.asked) == 5


def test_what_is_refused_is_not_sent_again(fake: FakeControl, client: Client) -> None:
    fake.on("POST", "/runs", problem(422, "/problems/invalid-input", "no"))
    with pytest.raises(Refused):
        client.submit({})
    assert len(fake.asked) == 1


def test_nobody_there(fake: FakeControl, client: Client, pauses: list[float]) -> None:
    fake.close()
    with pytest.raises(NotReachable, match="is the control API running there"):
        client.health()
    assert pauses == [0.25, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthenticated), (403, Forbidden), (404, NotFound), (422, Refused), (500, Troubled)],
)
def test_a_problem_is_an_exception_of_its_kind(
    fake: FakeControl, client: Client, status: int, kind: type[Refused]
) -> None:
    faults = [{"path": "config.lr", "message": "must be a number", "allowed": {"gt": 0}}]
    fake.on("GET", f"/runs/{RUN}", problem(status, "/problems/some", "Wrong.", faults=faults, x=1))
    with pytest.raises(kind) as caught:
        client.run(RUN)
    assert str(caught.value) == "Wrong; config.lr: must be a number"
    assert (caught.value.type, caught.value.extensions) == ("/problems/some", {"x": 1})
    assert caught.value.faults[0].allowed == {"gt": 0}


def test_an_error_that_is_no_problem_is_told_by_its_status(
    fake: FakeControl, client: Client
) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(b"<html>", 404))
    with pytest.raises(NotFound, match="404 Not Found, and not as Midcourse's control API does"):
        client.run(RUN)


def test_another_server_at_the_address(fake: FakeControl, client: Client) -> None:
    fake.on("GET", f"/runs/{RUN}", Said(b"<html>hello</html>"))
    with pytest.raises(NotReachable, match="does not answer in JSON"):
        client.run(RUN)
    fake.on("GET", f"/runs/{RUN}", Said(b"", 302, {"Location": "https://elsewhere/"}))
    with pytest.raises(NotReachable, match="a redirect to https://elsewhere/"):
        client.run(RUN)


def test_a_command_that_is_waited_for(fake: FakeControl, client: Client) -> None:
    fake.on("PATCH", f"/runs/{RUN}/params", Said(command()))
    done = client.set(
        RUN, {"optimizer.lr": 0.1}, wait=5, at=At(epoch=3), reason="too fast", revision=7
    )
    assert done.state is CommandState.APPLIED
    [asked] = fake.asked
    assert (asked.query, asked.body) == (
        {"at": "epoch:3", "reason": "too fast"},
        {"optimizer.lr": 0.1},
    )
    assert (asked.headers["prefer"], asked.headers["if-match"]) == ("wait=5", '"7"')


def test_a_command_that_came_to_nothing_raises_with_its_receipt(
    fake: FakeControl, client: Client
) -> None:
    told = receipt("rejected", reason="the run is paused already")
    fake.on(
        "POST",
        f"/runs/{RUN}/pause",
        problem(409, "/problems/command-not-applied", "paused already", receipt=told),
    )
    with pytest.raises(NotApplied) as caught:
        client.pause(RUN, wait=5)
    assert caught.value.receipt.reason == "the run is paused already"


def test_more_than_the_api_waits_is_waited_by_asking_again(
    fake: FakeControl, client: Client
) -> None:
    fake.on("POST", f"/runs/{RUN}/pause", Said(command("accepted"), 202))
    fake.on(
        "GET",
        f"/runs/{RUN}/commands/1",
        Said(command("delivered")),
        Said(command("rejected", receipt=receipt("rejected", reason="no"))),
    )
    with pytest.raises(NotApplied, match="Command 1 of run rbcdfghjk is rejected: no"):
        client.pause(RUN, wait=70)
    assert fake.asked[0].headers["prefer"] == "wait=60"


def test_a_misspelt_argument_is_no_silent_one(client: Client) -> None:
    with pytest.raises(TypeError, match="there is no resaon: at, dry_run, reason, wait"):
        client.pause(RUN, resaon="typo")  # type: ignore[call-arg]


def test_a_whole_id_is_not_looked_up(fake: FakeControl, client: Client) -> None:
    assert client.find(RUN) == RUN
    assert fake.asked == []


@pytest.mark.parametrize("name", ["rb", "rbcdfghj"])
def test_a_run_is_found_by_the_beginning_of_its_id(
    fake: FakeControl, client: Client, name: str
) -> None:
    fake.on(
        "GET", "/runs", lambda asked: runs(run()) if asked.query.get("prefix") == name else runs()
    )
    assert client.find(name) == RUN
    assert {asked.query["archived"] for asked in fake.asked} == {"any"}


def test_a_run_is_found_by_its_name(fake: FakeControl, client: Client) -> None:
    named = run(name='my "best", run')
    fake.on("GET", "/runs", lambda asked: runs(named) if "where" in asked.query else runs())
    assert client.find('my "best", run') == RUN
    assert fake.asked[-1].query["where"] == 'name="my \\"best\\", run"'


def test_an_ambiguous_beginning_lists_the_candidates(fake: FakeControl, client: Client) -> None:
    fake.on("GET", "/runs", runs(run("rb2222222", name="first"), run("rb3333333")))
    with pytest.raises(AmbiguousName, match=r"any of rb2222222 \(first\), rb3333333") as caught:
        client.find("rb")
    assert caught.value.candidates == ["rb2222222", "rb3333333"]


def test_an_unknown_name(fake: FakeControl, client: Client) -> None:
    fake.on("GET", "/runs", runs())
    with pytest.raises(UnknownName, match="There is no run 'Nobody'"):
        client.find("Nobody")


def test_all_pages_are_read(fake: FakeControl, client: Client) -> None:
    fake.on(
        "GET",
        "/runs",
        lambda asked: (
            runs(run("r33333333"))
            if asked.query.get("cursor") == "c2"
            else runs(run("r22222222"), next_cursor="c2")
        ),
    )
    wanted = client.all_runs(status=["running", "paused"], sort="-step")
    assert [found.id for found in wanted] == ["r22222222", "r33333333"]
    assert {asked.query["status"] for asked in fake.asked} == {"running,paused"}


EVENT = (
    'id: {id}\nevent: command\ndata: {{"at": "2026-01-02T03:04:05Z", "run": "rbcdfghjk", '
    '"details": {{"seq": {id}}}}}\n\n'
)


def test_a_stream_that_breaks_off_is_resumed_after_the_last_event(
    fake: FakeControl, client: Client
) -> None:
    first = EVENT.format(id=4) + EVENT.format(id=5) + "id: 6\ndata: {cut"
    fake.on(
        "GET",
        f"/runs/{RUN}/events",
        Said(first.encode(), headers={"Content-Type": "text/event-stream"}, cut=True),
        problem(503, "/problems/database-away", "away"),
        Said(EVENT.format(id=7).encode()),
    )
    stream = client.events(RUN, after=3)
    assert [next(stream).id for _ in range(3)] == [4, 5, 7]
    seen = [asked.headers.get("last-event-id") for asked in fake.asked]
    assert (seen[0], set(seen[1:])) == (None, {"5"})
    assert fake.asked[0].query["after"] == "3"


def test_a_stream_that_is_refused_ends(fake: FakeControl, client: Client) -> None:
    with pytest.raises(NotFound):
        next(client.events(RUN))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: a\n\n", [("a", "message", "")]),
        ("data: a\ndata: b\n\n", [("a\nb", "message", "")]),
        (
            ": ping\n\nevent: x\nid: 1\ndata:a\n\ndata: b\n\n",
            [("a", "x", "1"), ("b", "message", "1")],
        ),
        ("data: a\r\n\r\ndata: b\r\r", [("a", "message", ""), ("b", "message", "")]),
        ("event: x\n\ndata: cut off", []),
        ("data\n\n", [("", "message", "")]),
        ("id: a\0b\ndata: x\n\n", [("x", "message", "")]),
    ],
)
@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
def test_server_sent_events_however_they_are_cut(
    text: str, expected: list[tuple[str, str, str]], cut: int
) -> None:
    data = text.encode()
    chunks = [data[place : place + cut] for place in range(0, len(data), cut)]
    found = [(sent.data, sent.kind, sent.id) for sent in parse(lines_of(chunks))]
    assert found == expected


def test_a_log_that_breaks_off_is_followed_further_on(fake: FakeControl, client: Client) -> None:
    """At the byte after the last one, in the middle of a character too."""
    text = "one\népreuve\nlast\n".encode()

    def from_offset(end: int, cut: bool) -> Callable[[Asked], Said]:
        def answer(asked: Asked) -> Said:
            start = int(asked.query.get("offset", 4))  # so far back goes the tail
            return Said(text[start:end], headers={"Log-Offset": str(start)}, cut=cut)

        return answer

    fake.on(
        "GET",
        f"/runs/{RUN}/logs",
        from_offset(5, cut=True),
        problem(503, "/problems/database-away", "away"),
        from_offset(13, cut=False),  # an API that shuts down ends its streams
        from_offset(len(text), cut=False),
    )
    fake.on("GET", f"/runs/{RUN}", Said(run()), Said(run(status="finished")))
    told = "".join(client.logs(RUN, tail=2, follow=True))
    assert told == "épreuve\nlast\n"
    offsets = [asked.query.get("offset") for asked in fake.asked if asked.path.endswith("logs")]
    assert offsets == [None, "5", "5", "13"]


def test_a_log_that_is_not_followed_must_be_whole(fake: FakeControl, client: Client) -> None:
    fake.on("GET", f"/runs/{RUN}/logs", Said(b"one\n", cut=True))
    with pytest.raises(NotReachable, match="broke off"):
        list(client.logs(RUN))


def test_the_client_loads_nothing_that_trains() -> None:
    program = (
        "import sys, midcourse; midcourse.Client; "
        "print({'torch', 'wandb', 'numpy', 'rich', 'click'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
