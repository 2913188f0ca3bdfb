"""To whom a request is addressed, and whose page sent it.

A page on the web can have its own name point to 127.0.0.1 (DNS rebinding), and can send requests to
any address. So we answer to our own names alone, and to pages of our own.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from werkzeug.datastructures import Headers

from control_api.problems import ForeignOrigin
from control_api.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?", re.ASCII)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


@dataclass(frozen=True)
class Authority:
    """`host:port`, as `Host` and an origin have it."""

    host: str
    port: int | None


@lru_cache(maxsize=1024)
def parse_authority(text: str) -> Authority | None:
    """The parts of `name:port`, `1.2.3.4:port` or `[v6]:port`; None where it is none of these.

    A name may end in a dot, which says that it is whole; an address may be written in many ways.
    """
    found = _AUTHORITY.fullmatch(text.strip().lower())
    if found is None:
        return None
    port = None if found[3] is None else int(found[3])
    if found[1] is not None:
        address = _address(found[1])
        return None if address is None else Authority(str(address), port)
    name = found[2].removesuffix(".")
    return Authority(name, port) if name else None


def parse_origin(text: str) -> tuple[str, Authority] | None:
    """Scheme and authority of an origin or a URL; None where it is neither: `null`, for one."""
    scheme, separator, rest = text.strip().lower().partition("://")
    authority = parse_authority(re.split("[/?#]", rest, maxsplit=1)[0])
    if not separator or scheme not in _DEFAULT_PORTS or authority is None:
        return None
    return scheme, authority


class Names:
    """The names under which an API may be asked, and the pages that may ask it."""

    def __init__(self, settings: Settings) -> None:
        own = LOOPBACK | {settings.host} | settings.allowed_hosts
        parsed = (parse_authority(f"[{name}]" if ":" in name else name) for name in own)
        # 0.0.0.0 is no name of anybody: it says to listen everywhere.
        self._hosts = {each.host for each in parsed if each} - {"0.0.0.0", "::"}  # noqa: S104
        pages = (parse_origin(origin) for origin in settings.cors_origins)
        self._pages = {_with_port(page) for page in pages if page}

    def check(self, method: str, target: str, headers: Headers) -> None:
        """Refuse what is addressed to another, or sent by a page of another.

        Args:
            method: of the request.
            target: as its first line has it; a whole URL there names a host, too.
            headers: what it said.

        Raises:
            ForeignOrigin: saying what could be set if it should be served.
        """
        host = self._own(headers.get("Host", ""))
        if (absolute := parse_origin(target)) is not None:
            self._own(_written(absolute[1]))
        elif target and not target.startswith(("/", "*")):
            raise ForeignOrigin("The address of this request is none that an HTTP API has.")
        if (origin := headers.get("Origin")) is not None:
            self._check_page(origin, host)
            return
        if self._is_foreign(method, headers):
            raise ForeignOrigin("The browser says that a page of another origin sent this.")
        if method not in SAFE and (referer := headers.get("Referer")):
            self._check_page(referer, host)

    def is_known_page(self, origin: str | None) -> bool:
        """Whether it is among the origins that may read answers (CORS)."""
        page = parse_origin(origin or "")
        return page is not None and _with_port(page) in self._pages

    def _own(self, text: str) -> Authority:
        authority = parse_authority(text)
        if authority is None or authority.host not in self._hosts:
            raise ForeignOrigin(
                f"This API is not called {text[:200]!r}. If it should be, set "
                "MIDCOURSE_ALLOWED_HOSTS."
            )
        return authority

    def _check_page(self, origin: str, host: Authority) -> None:
        page = parse_origin(origin)
        if page is not None:
            # Whether a proxy in front of us speaks TLS, we cannot know: so not by the scheme.
            _, own = _with_port(page)
            if own == _with_port((page[0], host))[1] or self.is_known_page(origin):
                return
        raise ForeignOrigin(
            f"Pages from {origin[:200]!r} may not use this API. A proxy must pass the Host on as "
            "it came; for pages of another origin, set MIDCOURSE_CORS_ORIGINS."
        )

    def _is_foreign(self, method: str, headers: Headers) -> bool:
        """By what browsers say of a request that has no `Origin`: following a link is no harm."""
        site = headers.get("Sec-Fetch-Site", "none").strip().lower()
        if site in ("none", "same-origin"):
            return False
        is_link = (
            headers.get("Sec-Fetch-Mode", "").strip().lower() == "navigate"
            and headers.get("Sec-Fetch-Dest", "").strip().lower() == "document"
        )
        return not (is_link and method in SAFE)


def _address(text: str) -> IPv6Address | IPv4Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _with_port(page: tuple[str, Authority]) -> tuple[str, Authority]:
    scheme, authority = page
    port = _DEFAULT_PORTS[scheme] if authority.port is None else authority.port
    return scheme, Authority(authority.host, port)


def _written(authority: Authority) -> str:
    return f"[{authority.host}]" if ":" in authority.host else authority.host
