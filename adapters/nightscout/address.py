"""Addresses of sites as people paste them, and where a redirect may lead."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from bridge.errors import Refused

_API = re.compile(r"/api(/(v\d.*)?)?$")
_USUAL_PORT = {"http": 80, "https": 443}
_PRIVATE_ENDINGS = (".local", ".lan", ".internal", ".home.arpa")
_EXAMPLE = "Give the address as the browser shows it, such as https://name.example.org."


def normal_url(text: str) -> str:
    """`scheme://host[:port][/prefix]` of a pasted address, without trailing slash, API path, query or fragment.

    Without a scheme it is https, on loop-back http. Raises Refused for what is no address, or holds a login.
    """
    text = text.strip()
    parts = _split(text if "://" in text else f"https://{text}")
    host = (parts.hostname or "").lower()
    if parts.scheme not in _USUAL_PORT or not host or re.search(r"\s", text):
        raise Refused("That is not the address of a site.", next_step=_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise Refused("The address holds a user name or password.", next_step="Leave out what stands before the @.")
    scheme = "http" if "://" not in text and _is_loopback(host) else parts.scheme
    return f"{scheme}://{_netloc(host, _port(parts), scheme)}{_API.sub('', parts.path.rstrip('/')).rstrip('/')}"


def secure(base: str) -> str:
    """The address on https, unless it is in the house: a public site redirects there anyway."""
    host = urlsplit(base).hostname or ""
    if not base.startswith("http://") or _is_loopback(host) or _is_private(host):
        return base
    return "https://" + base.removeprefix("http://")


def host_of(base: str) -> str:
    """`host`, or `host:port` where the port is not the scheme's usual one."""
    return urlsplit(base).netloc


def redirected(asked: str, location: str) -> str | None:
    """Where a redirect of `asked` leads, when it stays on the host and does not leave https; else None."""
    try:
        target = urljoin(asked, location)
        old, new = _split(asked), _split(target)
    except (ValueError, Refused):
        return None
    if new.hostname != old.hostname or new.scheme not in _USUAL_PORT:
        return None
    if old.scheme == "https" and new.scheme != "https":
        return None
    moved_to_https = old.scheme == "http" and new.scheme == "https"
    return target if _port(new) == _port(old) or moved_to_https else None


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _port(parts)
    except ValueError:
        raise Refused("That is not the address of a site.", next_step=_EXAMPLE) from None
    return parts


def _port(parts: SplitResult) -> int | None:
    return parts.port or _USUAL_PORT.get(parts.scheme)


def _netloc(host: str, port: int | None, scheme: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, _USUAL_PORT[scheme]) else f"{shown}:{port}"


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_ENDINGS)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
