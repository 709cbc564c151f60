"""Whose server an address is: CareLink's own, this machine, or somebody else's."""

from __future__ import annotations

from typing import Literal

from bridge.credentials.hosts import host_of, is_loopback, parse
from bridge.errors import NotAllowed

Region = Literal["EU", "US"]
_DOMAINS = ("minimed.com", "minimed.eu")
CARELINK: dict[Region, str] = {"EU": "https://carelink.minimed.eu", "US": "https://carelink.minimed.com"}


def is_medtronic(url: str) -> bool:
    """Whether an address is under Medtronic's own domains."""
    host = host_of(parse(url))
    return any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS)


def checked(url: str) -> str:
    """A base address without its trailing slash. Raises ValueError unless it is plain https, or on this machine."""
    try:
        parsed = parse(url)
    except NotAllowed as error:
        raise ValueError(error.message) from None
    if parsed.query_string or parsed.fragment:
        raise ValueError("the address must not have a query")
    if parsed.scheme != "https" and not is_loopback(host_of(parsed)):
        raise ValueError("the address must begin with https:// unless it is on this machine")
    return url.rstrip("/")


def name_of(url: str) -> str:
    """How an address is called in sentences: its host."""
    return host_of(parse(url))


def on_this_machine(url: str) -> bool:
    """Whether an address is loop-back."""
    return is_loopback(host_of(parse(url)))
