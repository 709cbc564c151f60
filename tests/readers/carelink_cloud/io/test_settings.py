from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.readers.carelink_cloud.settings import CareLinkSettings, ServiceSettings, is_loopback, trusted

CARER = {"region": "EU", "username": "Carer", "role": "carepartner", "patient": "Patient1"}


@pytest.mark.parametrize(
    "url",
    [
        "https://minimed.eu/x",
        "https://carelink.minimed.com/api",
        "https://CLCLOUD.Minimed.EU/connect",
        "https://carelink-login.minimed.eu:443/authorize",
    ],
)
def test_the_providers_https_addresses_are_trusted(url: str) -> None:
    assert trusted(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://carelink.minimed.eu/api",
        "https://minimed.eu.evil.example/",
        "https://evilminimed.eu/",
        "https://carelink.minimed.eu@evil.example/",
        "https://user:word@carelink.minimed.eu/",
        "https://evil.example/#.minimed.eu",
        "https://evil.example\\.minimed.eu/",
        "https://evil.example/.minimed.eu",
        "https://minimed.eu:99999/",
        "https://minimed.eu:abc/",
        "https://ｍinimed.eu/",
        "https://carelink.minimed.eu\n.evil.example/",
        "https:///minimed.eu",
        "ftp://carelink.minimed.eu/",
        "//carelink.minimed.eu/",
        "https://[::1",
        "",
        None,
        7,
    ],
)
def test_everything_else_is_not(url: object) -> None:
    assert not trusted(url)
    assert not trusted(url, loopback=True)


def test_this_machine_is_trusted_only_when_the_settings_point_at_it() -> None:
    for url in ("http://127.0.0.1:8123/x", "http://localhost/x", "https://[::1]:9/x"):
        assert not trusted(url)
        assert trusted(url, loopback=True)
        assert is_loopback(url)
    for url in ("http://127.0.0.1.evil.example/", "http://10.0.0.1/", "http://192.168.1.5/"):
        assert not trusted(url, loopback=True)
        assert not is_loopback(url)


def test_defaults_are_those_of_the_current_app() -> None:
    settings = CareLinkSettings.model_validate(CARER)
    assert settings.app_versions == ("3.8", "3.7", "3.6")
    assert settings.message_app_version == "3.8.0"
    assert settings.cumulus_versions == (13,)
    assert not settings.loopback
    assert settings.discovery_base("EU") == "https://clcloud.minimed.eu/connect/carepartner/v13/discover/android"
    assert settings.discovery_base("US").startswith("https://clcloud.minimed.com/")


def test_the_feed_is_the_person_read_in_lower_case() -> None:
    assert CareLinkSettings.model_validate(CARER).feed == "carelink:eu:patient1"
    own = CareLinkSettings.model_validate({"region": "US", "username": "Me.Myself", "role": "patient"})
    assert own.feed == "carelink:us:me.myself"


@pytest.mark.parametrize(
    "changes",
    [
        {"discovery_url": "https://evil.example/discover"},
        {"discovery_url": "http://clcloud.minimed.eu/discover"},
        {"region": "CLINICAL"},
        {"role": "doctor"},
        {"username": ""},
        {"patient": None},
        {"app_versions": []},
        {"app_versions": ["3.8/../.."]},
        {"message_app_version": "newest"},
        {"cumulus_versions": []},
        {"user_agent": "x\r\nAuthorization: y"},
        {"colour": "blue"},
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CareLinkSettings.model_validate({**CARER, **changes})


def test_a_simulator_may_be_named() -> None:
    service = ServiceSettings(discovery_url="http://127.0.0.1:8123/connect/carepartner/v13/discover/android/")
    assert service.loopback
    assert not service.discovery_base("EU").endswith("/")
