"""To whom a request is addressed, whose page sent it, and from where it comes."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from werkzeug.datastructures import Headers

from control_api.origins import Authority, Names, parse_authority, parse_origin
from control_api.problems import ForeignOrigin
from control_api.proxies import client_address
from control_api.settings import Settings

OURS = {"Host": "localhost:8080"}


def names(**settings):
    return Names(Settings(home=Path("/x"), **settings))


def accepts(method, headers, target="/api/v1/runs", **settings):
    try:
        names(**settings).check(method, target, Headers(headers))
    except ForeignOrigin:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LOCALHOST.:80", "localhost", 80),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]", "::1", None),
        ("[0:0:0:0:0:0:0:1]:9", "::1", 9),
        (" lab.example ", "lab.example", None),
    ],
)
def test_names_and_ports(text, host, port):
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    ["", ".", ":80", "::1", "[::1", "[zz]", "a b", "a,b", "a/b", "user@a", "a:x", "a:-1", "a\nb"],
)
def test_what_is_no_name(text):
    assert parse_authority(text) is None


@pytest.mark.parametrize(
    "text", ["null", "", "localhost", "file:///x", "http://", "ftp://a", "://a"]
)
def test_what_is_no_origin(text):
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "localhost.:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
    ],
)
def test_the_loopback_is_ours(host):
    assert accepts("POST", {"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example:8080",
        "localhost.evil.example",
        "evil.example:localhost",
        "localhost,evil.example",
        "localhost@evil.example",
        "0.0.0.0:8080",
        "[::]:8080",
        "192.168.0.7",
        "[::ffff:127.0.0.1]",
        "2130706433",
    ],
)
@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0", "::"])
def test_all_else_is_not(host, listens):
    assert not accepts("GET", {"Host": host}, host=listens)


def test_no_host_at_all_is_refused():
    assert not accepts("GET", {})


def test_what_is_configured_is_ours():
    ours = {"allowed_hosts": frozenset({"lab.example", "192.168.0.7", "fd00::7"}), "host": "gpu-3"}
    for host in ("lab.example", "LAB.example.:443", "192.168.0.7:80", "[fd00:0::7]", "gpu-3:8080"):
        assert accepts("POST", {"Host": host}, **ours)
    assert not accepts("POST", {"Host": "other.lab.example"}, **ours)


@pytest.mark.parametrize(
    ("target", "ok"),
    [
        ("/api/v1/runs", True),
        ("/a://b", True),
        ("*", True),
        ("", True),
        ("http://localhost:8080/api/v1/runs", True),
        ("http://evil.example/api/v1/runs", False),
        ("HTTPS://evil.example", False),
        ("ftp://localhost/", False),
        ("http://localhost@evil.example/", False),
        ("evil.example:443", False),
    ],
)
def test_a_whole_url_in_the_first_line_names_a_host_too(target, ok):
    assert accepts("GET", OURS, target) is ok


@pytest.mark.parametrize(
    ("host", "origin", "ok"),
    [
        ("localhost:8080", "http://localhost:8080", True),
        ("localhost:8080", "http://LOCALHOST:8080", True),
        ("localhost:8080", "http://localhost:3000", False),
        ("localhost:8080", "http://localhost", False),
        ("localhost:8080", "http://127.0.0.1:8080", False),
        ("localhost:8080", "null", False),
        ("localhost:8080", "", False),
        ("localhost:8080", "https://evil.example", False),
        ("localhost:8080", "http://localhost:8080.evil.example", False),
        ("localhost:8080", "http://localhost:8080@evil.example", False),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("lab.example", "https://lab.example", True),
        ("lab.example:443", "https://lab.example", True),
        ("lab.example", "http://lab.example", True),
        ("lab.example", "https://lab.example:8443", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_our_own_has_our_host_and_port(host, origin, ok, method):
    headers = {"Host": host, "Origin": origin}
    assert accepts(method, headers, allowed_hosts=frozenset({"lab.example"})) is ok


def test_pages_that_are_configured_may_come_and_no_others():
    settings = {"cors_origins": frozenset({"https://console.example", "http://localhost:3000"})}
    for origin, ok in [
        ("https://console.example", True),
        ("https://console.example:443", True),
        ("http://localhost:3000", True),
        ("http://console.example", False),
        ("https://console.example:8443", False),
        ("https://x.console.example", False),
        ("null", False),
    ]:
        assert accepts("POST", OURS | {"Origin": origin}, **settings) is ok
        assert names(**settings).is_known_page(origin) is ok
    assert not names().is_known_page("https://console.example")
    assert not names().is_known_page(None)


@pytest.mark.parametrize(
    ("method", "headers", "ok"),
    [
        ("POST", {}, True),
        ("POST", {"Referer": "http://localhost:8080/docs"}, True),
        ("POST", {"Referer": "https://evil.example/localhost:8080"}, False),
        ("POST", {"Referer": "nonsense"}, False),
        ("GET", {"Referer": "https://wandb.example/report"}, True),
        ("POST", {"Sec-Fetch-Site": "same-origin"}, True),
        ("POST", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {"Sec-Fetch-Site": "same-site"}, False),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, False),
        ("POST", {"Sec-Fetch-Site": "of-a-kind-to-come"}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, False),
        (
            "GET",
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            True,
        ),
        (
            "GET",
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            False,
        ),
        (
            "POST",
            {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            False,
        ),
        ("POST", {"X-Forwarded-Host": "evil.example"}, True),
    ],
)
def test_what_browsers_say_where_there_is_no_origin(method, headers, ok):
    assert accepts(method, OURS | headers) is ok


PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.7", None),
        (None, None, None),
    ],
)
def test_only_our_own_proxies_are_believed(peer, forwarded, address):
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_proxies_nobody_is_believed():
    assert client_address("127.0.0.1", "198.51.100.7", ()) == "127.0.0.1"
