"""Streams of the real server: read while things happen, across reconnects and restarts."""

import contextlib
import json
import socket
import threading
from pathlib import Path

import pytest
import requests
from databases import database_url  # noqa: F401 (on each kind)
from served import Served, free_port, wait_for


@pytest.fixture
def served(tmp_path, database_kind):
    home = tmp_path / "home"
    home.mkdir()
    port = free_port()
    servers = [Served(home, port)]

    def again():
        servers[-1].end()
        servers.append(Served(home, port))
        return servers[-1]

    servers[0].again = again
    yield servers[0]
    for server in servers:
        server.die()
    for run in (home / "runs").glob("*"):
        (run / "finish").touch()


class Listener:
    """Reads a stream in a thread, as a browser does: comes back with the last number it has."""

    def __init__(self, served, path):
        self.url, self.headers, self.path = served.url, dict(served.headers), path
        self.events, self.connections, self.ended = [], 0, False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        wait_for(lambda: self.connections, bool)

    def _listen(self):
        while not self.ended:
            with contextlib.suppress(requests.RequestException):
                self._read()

    def _read(self):
        last = {"Last-Event-ID": str(self.events[-1][0])} if self.events else {}
        url = f"{self.url}/api/v1{self.path}"
        with requests.get(url, headers=self.headers | last, stream=True, timeout=20) as answer:
            answer.raise_for_status()
            self.connections += 1
            fields = {}
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                if self.ended:
                    return
                if not line and "data" in fields:
                    said = json.loads(fields["data"])
                    self.events.append((int(fields["id"]), fields["event"], said))
                    fields = {}
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value

    def numbers(self):
        return [number for number, _, _ in self.events]


def test_events_are_told_while_they_happen_without_loss_or_double(served):
    listener = Listener(served, "/events?after=0")
    runs = [served.ask("POST", "/runs", json={"config": {}}).json()["id"] for _ in range(2)]
    statuses = lambda: {  # noqa: E731
        (said["run"], said["details"]["status"])
        for _, kind, said in list(listener.events)
        if kind == "run.status"
    }
    wait_for(statuses, lambda seen: {(run, "running") for run in runs} <= seen)
    server = served.again()  # a restart in the midst of it: the listener comes back by itself
    for run in runs:
        (server.home / "runs" / run / "finish").touch()
    wait_for(statuses, lambda seen: {(run, "finished") for run in runs} <= seen)
    wait_for(lambda: listener.connections, lambda count: count >= 2)
    server.ask("PATCH", f"/runs/{runs[0]}", json={"notes": "done"})
    wait_for(lambda: listener.events, lambda events: events[-1][1] == "run.changed")
    listener.ended = True
    whole = Listener(server, "/events?after=0")
    last = listener.numbers()[-1]
    wait_for(whole.numbers, lambda numbers: last in numbers)
    whole.ended = True
    heard = [number for number in listener.numbers() if number <= last]
    assert heard == [number for number in whole.numbers() if number <= last]
    assert len(set(heard)) == len(heard)


@pytest.mark.only_on("sqlite")
def test_a_server_with_streams_ends_soon(served):
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    streams = []
    for path in ("/events", f"/runs/{run}/events", f"/runs/{run}/logs?follow=true"):
        url = f"{served.url}/api/v1{path}"
        streams.append(requests.get(url, headers=served.headers, stream=True, timeout=20))
        assert streams[-1].status_code == 200
    served.end()  # fails if it takes long
    for stream in streams:
        for _ in stream.iter_content(1000):
            pass  # raises if the end is not an end in order


@pytest.mark.only_on("sqlite")
def test_a_log_is_followed_to_its_end(served):
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    log = served.home / "runs" / run / "console.log"
    wait_for(log.exists, bool)
    url = f"{served.url}/api/v1/runs/{run}/logs?follow=true"
    with requests.get(url, headers=served.headers, stream=True, timeout=20) as answer:
        with log.open("a") as file:
            file.write("hello\n")
        (served.home / "runs" / run / "finish").touch()
        text = answer.text
    assert text == log.read_text()
    assert "hello\n" in text


@pytest.mark.only_on("sqlite")
def test_a_listener_that_is_gone_holds_no_thread(served):
    run = served.ask("POST", "/runs", json={"config": {}}).json()["id"]
    worker = served.workers()[0]
    request = "\r\n".join(
        [
            f"GET /api/v1/runs/{run}/logs?follow=true&tail=0 HTTP/1.1",
            "Host: 127.0.0.1",
            *(f"{name}: {value}" for name, value in served.headers.items()),
            "\r\n",
        ]
    )
    before = sockets(worker)
    connections = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(8)]
    for connection in connections:
        connection.sendall(request.encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert sockets(worker) >= before + len(connections)
    for connection in connections:
        connection.close()
    wait_for(lambda: sockets(worker), lambda count: count <= before)


def sockets(pid):
    """How many connections a process has open."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count
