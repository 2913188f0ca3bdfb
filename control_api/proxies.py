"""Where a request comes from, when it comes by way of proxies."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


def client_address(peer: str | None, forwarded_for: str | None, trusted: Networks) -> str | None:
    """The address of whoever sent a request.

    Each proxy adds the address that it was asked by at the end of `X-Forwarded-For`, and anybody
    may have written what stands before: so it is read from the end, for as long as those who
    added to it are trusted.

    Args:
        peer: who holds the other end of the connection.
        forwarded_for: the header, if there is one.
        trusted: networks of our own proxies; of nobody else's word is anything believed.
    """
    address = parse_address(peer)
    if address is None:
        return peer or None
    for said in reversed((forwarded_for or "").split(",")):
        if not _is_in(address, trusted) or (before := parse_address(said)) is None:
            break
        address = before
    return str(address)


@lru_cache(maxsize=1024)  # each trainer asks every second
def parse_address(text: str | None) -> Address | None:
    """An IP address, as itself where IPv6 wraps it; None if the text is none."""
    try:
        address = ip_address((text or "").strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
