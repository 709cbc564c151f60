from __future__ import annotations

import pytest

from bridge.credentials.hosts import parse, require_listed, require_patterns, require_safe
from bridge.errors import ContractViolation, NotAllowed

ALLOWED = ("ns.example", "ns.example:8443", ".minimed.eu", "127.0.0.1:8080", "[::1]:9000", "localhost")


@pytest.mark.parametrize(
    "url",
    [
        "https://ns.example/api",
        "https://NS.Example./api",
        "https://ns.example:443/",
        "https://ns.example:8443/",
        "https://minimed.eu/",
        "https://clcloud.minimed.eu/x",
        "https://a.b.minimed.eu/x",
        "http://127.0.0.1:8080/",
        "http://[::1]:9000/",
        "http://localhost:4711/",
    ],
)
def test_listed_hosts_fit(url: str) -> None:
    require_listed(parse(url), ALLOWED)
    require_safe(parse(url), allow_private_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://xns.example/",
        "https://sub.ns.example/",
        "https://ns.example.evil.com/",
        "https://ns.example:9443/",
        "https://notminimed.eu/",
        "https://minimed.eu.evil.com/",
        "https://clcloud.minimed.eu:8443/",
        "http://127.0.0.1:8081/",
        "http://[::1]:9001/",
        "https://evil.example/?x=ns.example",
        "https://evil.example#.minimed.eu",
        "https://evil.example\\.minimed.eu/",
    ],
)
def test_other_hosts_do_not(url: str) -> None:
    with pytest.raises(NotAllowed):
        require_listed(parse(url), ALLOWED)


@pytest.mark.parametrize(
    "url",
    ["https://user:pw@ns.example/", "https://ns.example@evil.example/", "ftp://ns.example/", "/path", "", "https://"],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        parse(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "at_home"),
    [
        ("http://192.168.1.5/", True),
        ("http://10.0.0.2:1337/", True),
        ("http://[fd00::1]/", True),
        ("http://nightscout:1337/", True),
        ("http://ns.local/", True),
        ("http://ns.example/", False),
        ("http://8.8.8.8/", False),
        ("http://local.example/", False),
    ],
)
def test_plain_http_goes_home_only_and_only_when_allowed(url: str, at_home: bool) -> None:
    with pytest.raises(NotAllowed, match="plain http"):
        require_safe(parse(url), allow_private_http=False)
    if at_home:
        require_safe(parse(url), allow_private_http=True)
    else:
        with pytest.raises(NotAllowed):
            require_safe(parse(url), allow_private_http=True)


@pytest.mark.parametrize("pattern", ["", ".", "*", "*.example.org", ".com", "https://x.example", " ", "a@b"])
def test_limits_that_limit_nothing_are_a_bug(pattern: str) -> None:
    with pytest.raises(ContractViolation):
        require_patterns((pattern,))


def test_honest_limits_are_fine() -> None:
    require_patterns((*ALLOWED, "nightscout:1337"))
