"""What comes over the wire that no decent client sends, to the real server."""

import contextlib
import json
import signal
import socket

import pytest
from databases import begin, database_url  # noqa: F401 (its tests have a database)
from served import Served, free_port

pytestmark = pytest.mark.only_on("sqlite")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    begin("sqlite")
    home = tmp_path_factory.mktemp("wire") / "home"
    home.mkdir()
    served = Served(home, free_port())
    yield served
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)


def send(served, text, body=b""):
    """Raw bytes out, and all that comes back: status, headers and body."""
    token = served.headers["Authorization"]
    request = text.replace("TOKEN", f"Authorization: {token}").replace("\n", "\r\n").encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request + body)  # it may be refused before all was sent
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    head, _, rest = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return int(lines[0].split()[1]), lines[1:], rest


HOST = "Host: localhost\n"
END = "Connection: close\n\n"
MANY = "".join(f"X-{number}: x\n" for number in range(200))
WHOAMI = "GET /api/v1/whoami HTTP/1.1\n"


def test_a_decent_request_is_answered(served):
    code, _, body = send(served, WHOAMI + HOST + "TOKEN\n" + END)
    assert code == 200
    assert json.loads(body)["name"] == "admin"


@pytest.mark.parametrize(
    ("request_text", "codes"),
    [
        (f"GET /api/v1/whoami?{'x' * 5000} HTTP/1.1\n{HOST}TOKEN\n{END}", {400, 414}),
        (f"{WHOAMI}{HOST}TOKEN\nX-Long: {'x' * 10_000}\n{END}", {400, 431}),
        (f"{WHOAMI}{HOST}TOKEN\n{MANY}{END}", {400, 431}),
        (f"{WHOAMI}TOKEN\n{END}", {400, 403}),
        ("GET /api/v1/whoami HTTP/1.0\nTOKEN\n\n", {400, 403}),
        (f"{WHOAMI}Host: evil.example\nTOKEN\n{END}", {403}),
        (f"{WHOAMI}{HOST}Host: evil.example\nTOKEN\n{END}", {400, 403}),
        (f"{WHOAMI}Host: evil.example\n{HOST}TOKEN\n{END}", {400, 403}),
        (f"GET http://evil.example/api/v1/whoami HTTP/1.1\n{HOST}TOKEN\n{END}", {400, 403}),
        (f"{WHOAMI}{HOST}TOKEN\nTransfer-Encoding: chunked\nContent-Length: 3\n{END}", {400}),
        (f"{WHOAMI}{HOST}TOKEN\nTransfer-Encoding: gzip\n{END}", {400, 501}),
        (f"{WHOAMI}{HOST}TOKEN\nContent-Length: -1\n{END}", {400}),
        (f"{WHOAMI}{HOST}TOKEN\nX: a\n continued\n{END}", {400}),
        (f"GET /api/v1/who ami HTTP/1.1\n{HOST}TOKEN\n{END}", {400, 404}),
        (f"BREW /api/v1/whoami HTTP/1.1\n{HOST}TOKEN\n{END}", {405}),
        ("\x16\x03\x01\x02\x00\n\n", {400}),
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_decent_request_is_refused(served, request_text, codes):
    assert send(served, request_text)[0] in codes


def test_a_whole_url_of_our_own_is_answered(served):
    text = f"GET http://localhost:{served.port}/api/v1/whoami HTTP/1.1\n{HOST}TOKEN\n{END}"
    assert send(served, text)[0] == 200


@pytest.mark.parametrize("name", ["PATH_INFO", "SCRIPT_NAME", "Path-Info", "REMOTE_USER"])
def test_no_header_changes_what_is_asked_for(served, name):
    """A proxy that lets only some addresses through must not be got round."""
    code, _, body = send(served, f"GET /healthz HTTP/1.1\n{HOST}{name}: /api/v1/runs\n{END}")
    assert code == 400 or (code == 200 and json.loads(body)["status"] == "ok")


def test_nobody_puts_headers_into_an_answer(served):
    path = "/api/v1/runs/r%0d%0aX-Evil:%20yes%0d%0a%0d%0a<b>"
    headers = f"{HOST}TOKEN\nX-Request-Id: a%0d%0aX-Evil: yes\n"
    code, told, _ = send(served, f"GET {path} HTTP/1.1\n{headers}{END}")
    assert code == 404
    assert not [line for line in told if "evil" in line.lower()]
    for line in (served.home.parent / "api.log").read_text().splitlines():
        assert not line.startswith("X-Evil")


def test_a_body_in_pieces_has_a_limit_too(served):
    """Without a Content-Length nobody knows how much will come."""
    piece = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    start = f"POST /api/v1/runs HTTP/1.1\n{HOST}TOKEN\nContent-Type: application/json\n"
    code, _, body = send(
        served, f"{start}Transfer-Encoding: chunked\n{END}", piece * 30 + b"0\r\n\r\n"
    )
    assert code == 413, body


def test_a_body_that_is_announced_too_large_is_not_waited_for(served):
    start = f"POST /api/v1/runs HTTP/1.1\n{HOST}TOKEN\nContent-Type: application/json\n"
    assert send(served, f"{start}Content-Length: 999999999\n{END}")[0] == 413


def test_where_a_client_says_it_comes_from_is_not_believed(served):
    send(served, f"POST /nowhere HTTP/1.1\n{HOST}TOKEN\nX-Forwarded-For: 6.6.6.6\n{END}")
    entry = served.ask("GET", "/audit?limit=1").json()["entries"][0]
    assert (entry["path"], entry["address"]) == ("/nowhere", "127.0.0.1")


def test_the_server_still_serves(served):
    assert served.process.poll() is None
    assert served.ask("GET", "/whoami").status_code == 200
