"""Where a credential may go: pure rules on addresses."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from yarl import URL

from bridge.errors import ContractViolation, NotAllowed

_PRIVATE_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa")


def parse(url: str) -> URL:
    """The address as it will be asked. Raises NotAllowed for what is no http address, or carries a login."""
    try:
        parsed = URL(url)
        port = parsed.port
    except ValueError:
        raise NotAllowed("A request was about to go to something that is no address.") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or port is None:
        raise NotAllowed("A request was about to go to an address that is neither http nor https.")
    if parsed.user is not None or parsed.password is not None:
        raise NotAllowed(f"The address of {parsed.host} holds a user name or password.")
    return parsed


def host_of(url: URL) -> str:
    """Host in its one spelling: lower case, ASCII, no trailing dot."""
    return (url.raw_host or "").lower().rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Whether a host is in the house: a private address, a name without a dot or with a private ending."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)


def require_safe(url: URL, *, allow_private_http: bool) -> None:
    """Raises NotAllowed unless https, loop-back, or plain http to the house where the settings allow it."""
    host = host_of(url)
    if url.scheme == "https" or is_loopback(host) or (allow_private_http and is_private(host)):
        return
    raise NotAllowed(
        f"Credentials do not go to {host} over plain http.",
        next_step="Use https, or set network.allow_private_http for a site in your own house.",
    )


def require_listed(url: URL, allowed: Iterable[str]) -> None:
    """Raises NotAllowed unless one of the patterns fits: `host`, `host:port`, `.domain` or `.domain:port`.

    Without a port only the scheme's usual one fits, on loop-back any.
    """
    if not any(_fits(url, pattern) for pattern in allowed):
        raise NotAllowed(f"This credential may not go to {host_of(url)}:{url.port}.")


def require_patterns(patterns: Iterable[str]) -> None:
    """Raises ContractViolation for a host pattern that is empty or would fit a whole top-level domain."""
    for pattern in patterns:
        host, _ = _split(pattern)
        bare = host.lstrip(".")
        if not bare or any(sign in pattern for sign in "*/@ ") or (host.startswith(".") and "." not in bare):
            raise ContractViolation(f"{pattern!r} is not a host a credential could be limited to.")


def _fits(url: URL, pattern: str) -> bool:
    wanted, port = _split(pattern)
    host = host_of(url)
    named = host == wanted or (wanted.startswith(".") and (host == wanted[1:] or host.endswith(wanted)))
    if port is None:
        return named and (url.is_default_port() or is_loopback(host))
    return named and url.port == port


def _split(pattern: str) -> tuple[str, int | None]:
    """Host and port; an IPv6 address with a port stands in brackets."""
    text = pattern.strip().lower().rstrip(".")
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    return host.rstrip("."), int(port) if port.isdigit() else None
