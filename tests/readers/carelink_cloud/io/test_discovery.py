from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import Incompatible, Throttled, Transient
from bridge.readers.carelink_cloud.discovery import (
    Directory,
    Unsuitable,
    discover,
    parse_discovery,
    parse_sign_in,
    sign_in_config,
)
from bridge.readers.carelink_cloud.settings import ServiceSettings
from tests.readers.carelink_cloud.io.fakes import DISCOVER, SSO, FakeCareLink, Scripted, Tokens
from tests.support import vectors
from tests.support.clock import FakeClock

REAL = ServiceSettings()


def vector(name: str) -> Any:
    return vectors.document("carelink-cloud", name)


def entry(**changes: Any) -> dict[str, Any]:
    good = vector("discovery-android-3.8.synthetic.json")["CP"][1]
    return {"CP": [{**good, **changes}]}


def service(fake: FakeCareLink, **changes: Any) -> ServiceSettings:
    return ServiceSettings(discovery_url=fake.base + DISCOVER, **changes)


# --- the documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("region", "domain", "name"), [("EU", "minimed.eu", "ous"), ("US", "minimed.com", "us")])
def test_the_current_document_gives_each_region_its_own_addresses(region: Any, domain: str, name: str) -> None:
    place = parse_discovery(vector("discovery-android-3.8.synthetic.json"), region, REAL)
    assert place.sso_url == f"https://carelink.{domain}/configs/v1/carepartner_auth0_{name}_sso_config_v1.json"
    assert place.account_url == f"https://carelink.{domain}/api/carepartner/v2"
    assert place.data_url == f"https://clcloud.{domain}/connect/carepartner/v13"


@pytest.mark.parametrize("region", ["EU", "US"])
def test_the_document_before_the_move_is_not_taken(region: Any) -> None:
    with pytest.raises(Unsuitable):
        parse_discovery(vector("discovery-android-3.2.json"), region, REAL)


def test_a_good_sign_in_with_a_dead_data_path_is_not_taken() -> None:
    with pytest.raises(Unsuitable, match="v11"):
        parse_discovery(vector("discovery-android-3.5-trap.synthetic.json"), "EU", REAL)


@pytest.mark.parametrize(
    "document", [{}, [], None, {"CP": {}}, {"CP": []}, {"CP": ["EU"]}, {"CP": [{"region": "CLINICAL"}]}]
)
def test_a_document_without_the_region_is_not_taken(document: object) -> None:
    with pytest.raises(Unsuitable):
        parse_discovery(document, "EU", REAL)


@pytest.mark.parametrize("selector", [None, "NewSSOConfiguration", "Layer7SSOConfiguration", "SSOConfiguration", 5])
def test_an_unusable_selector_falls_back_to_the_current_sign_in_never_to_the_dead_one(selector: object) -> None:
    place = parse_discovery(entry(UseSSOConfiguration=selector), "EU", REAL)
    assert "auth0" in place.sso_url


def test_without_the_current_sign_in_the_dead_one_is_not_used() -> None:
    with pytest.raises(Unsuitable, match="sign-in"):
        parse_discovery(entry(UseSSOConfiguration="Layer7SSOConfiguration", Auth0SSOConfiguration=None), "EU", REAL)


def test_a_new_sign_in_that_the_selector_names_is_followed() -> None:
    url = "https://carelink.minimed.eu/configs/v2/next.json"
    assert parse_discovery(entry(UseSSOConfiguration="Next", Next=url), "EU", REAL).sso_url == url


@pytest.mark.parametrize("key", ["Auth0SSOConfiguration", "baseUrlCareLink", "baseUrlCumulus"])
@pytest.mark.parametrize("host", ["https://evil.example", "http://clcloud.minimed.eu", "http://127.0.0.1:80"])
def test_a_foreign_address_is_not_taken(key: str, host: str) -> None:
    with pytest.raises(Unsuitable, match="not CareLink's own"):
        parse_discovery(entry(**{key: f"{host}/connect/carepartner/v13"}), "EU", REAL)


@pytest.mark.parametrize(
    "path", ["/connect/carepartner/v2", "/connect/carepartner/v130", "/v13", "/connect/carepartner/v13/x"]
)
def test_another_data_version_is_not_taken(path: str) -> None:
    with pytest.raises(Unsuitable):
        parse_discovery(entry(baseUrlCumulus=f"https://clcloud.minimed.eu{path}"), "EU", REAL)


def test_a_new_data_version_can_be_allowed_by_setting() -> None:
    document = entry(baseUrlCumulus="https://clcloud.minimed.eu/connect/carepartner/v14/")
    place = parse_discovery(document, "EU", ServiceSettings(cumulus_versions=(13, 14)))
    assert place.data_url.endswith("/v14")


def test_the_sign_in_configuration_without_doubled_slashes() -> None:
    sign_in = parse_sign_in(vector("sso-auth0-eu.synthetic.json"), REAL)
    assert sign_in.client_id == "CLIENT_ID_FROM_CONFIG"
    assert sign_in.authorization_url == "https://carelink-login.minimed.eu/authorize"
    assert sign_in.token_url == "https://carelink-login.minimed.eu/oauth/token"
    assert sign_in.revocation_url == "https://carelink-login.minimed.eu/oauth/revoke"
    assert sign_in.userinfo_url == "https://carelink-login.minimed.eu/userinfo"
    assert sign_in.audience == "carepartner.patient.ous"
    assert sign_in.scope == "profile openid offline_access"
    assert sign_in.redirect_uri == "com.medtronic.carepartner:/sso"


def test_port_and_prefix_are_part_of_the_address() -> None:
    document = vector("sso-auth0-eu.synthetic.json")
    document["server"] = {"hostname": "login.minimed.eu", "port": 8443, "prefix": "/mag//"}
    assert parse_sign_in(document, REAL).token_url == "https://login.minimed.eu:8443/mag/oauth/token"


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("server", {"hostname": "evil.example"}),
        ("server", {"hostname": "evil.example/@carelink.minimed.eu"}),
        ("server", {"hostname": "evil.example\\.minimed.eu"}),
        ("server", {"hostname": ""}),
        ("server", {"hostname": "127.0.0.1"}),
        ("server", {"port": "443@evil.example"}),
        ("client", {"client_id": None}),
        ("client", {"client_id": None, "client_ids": [{}]}),
        ("system_endpoints", {"token_endpoint_path": None}),
        ("system_endpoints", {"authorization_endpoint_path": ""}),
    ],
)
def test_an_unusable_sign_in_configuration_is_refused(table: str, changes: dict[str, Any]) -> None:
    document = vector("sso-auth0-eu.synthetic.json")
    document[table] |= changes
    with pytest.raises(Unsuitable):
        parse_sign_in(document, REAL)


@pytest.mark.parametrize("document", [{}, [], None, {"server": [], "client": 5}])
def test_a_sign_in_configuration_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(Unsuitable):
        parse_sign_in(document, REAL)


# --- the ladder --------------------------------------------------------------------------------------


async def test_the_first_suitable_version_is_taken(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    fake.on(f"{DISCOVER}/3.8", Scripted(204))
    fake.on(f"{DISCOVER}/3.7", Scripted(body=fake.discovery(baseUrlCumulus=f"{fake.base}/connect/carepartner/v11")))
    place = await discover(session, "EU", service(fake))
    assert place.data_url == f"{fake.base}/connect/carepartner/v13"
    assert fake.paths() == [f"{DISCOVER}/{version}" for version in ("3.8", "3.7", "3.6")]
    assert all("Authorization" not in asked.headers for asked in fake.asked)


async def test_nothing_suitable_names_the_versions_and_why(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    fake.on(f"{DISCOVER}/3.8", Scripted(body={}))
    fake.on(f"{DISCOVER}/3.7", Scripted(401))
    fake.on(f"{DISCOVER}/3.6", Scripted(404))
    with pytest.raises(Incompatible) as caught:
        await discover(session, "EU", service(fake))
    assert caught.value.state == "discovery_unsupported"
    assert all(version in caught.value.message for version in ("3.8", "3.7", "3.6", "lists no regions", "401", "404"))
    assert caught.value.next_step


@pytest.mark.parametrize("outage", [Scripted(503), Scripted(body=b"<html>maintenance</html>")])
async def test_an_outage_is_not_taken_for_an_unknown_service(
    fake_and_session: tuple[FakeCareLink, Tokens], outage: Scripted
) -> None:
    fake, session = fake_and_session
    for version in ("3.8", "3.6"):
        fake.on(f"{DISCOVER}/{version}", Scripted(body={}))
    fake.on(f"{DISCOVER}/3.7", outage)
    with pytest.raises(Transient) as caught:
        await discover(session, "EU", service(fake))
    assert caught.value.state == "unreachable"


async def test_patience_asked_for_is_passed_on(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    for version in ("3.8", "3.7", "3.6"):
        fake.on(f"{DISCOVER}/{version}", Scripted(429, headers={"Retry-After": "90"}))
    with pytest.raises(Throttled) as caught:
        await discover(session, "EU", service(fake))
    assert caught.value.retry_after_s == 90


async def test_a_sign_in_configuration_that_cannot_be_used_has_a_name(
    fake_and_session: tuple[FakeCareLink, Tokens],
) -> None:
    fake, session = fake_and_session
    place = await discover(session, "EU", service(fake))
    assert (await sign_in_config(session, place, service(fake))).token_url == f"{fake.base}/oauth/token"
    for bad in (Scripted(body={}), Scripted(403), Scripted(body=b"[1]")):
        fake.on(SSO, bad)
        with pytest.raises(Incompatible) as caught:
            await sign_in_config(session, place, service(fake))
        assert caught.value.state == "discovery_unsupported"
    fake.on(SSO, Scripted(502))
    with pytest.raises(Transient):
        await sign_in_config(session, place, service(fake))


# --- remembering -------------------------------------------------------------------------------------


async def test_the_place_is_asked_once_a_day(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    clock = FakeClock()
    directory = Directory(session, "EU", service(fake), clock)
    await directory.place()
    clock.advance(23.9 * 3600)
    await directory.place()
    assert len(fake.paths()) == 1
    clock.advance(0.2 * 3600)
    await directory.place()
    assert len(fake.paths()) == 2


async def test_an_old_place_is_kept_while_the_discovery_is_away(
    fake_and_session: tuple[FakeCareLink, Tokens],
) -> None:
    fake, session = fake_and_session
    clock = FakeClock()
    directory = Directory(session, "EU", service(fake), clock)
    place = await directory.place()
    for version in ("3.8", "3.7", "3.6"):
        fake.on(f"{DISCOVER}/{version}", Scripted(503))
    clock.advance(25 * 3600)
    assert await directory.place() == place
    asked = len(fake.paths())
    clock.advance(300)
    assert await directory.place() == place
    assert len(fake.paths()) == asked, "an absent discovery is not asked at every pass"
    clock.advance(3600)
    await directory.place()
    assert len(fake.paths()) > asked


async def test_a_restart_need_not_ask_again(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    clock = FakeClock()
    first = Directory(session, "EU", service(fake), clock)
    place = await first.place()
    second = Directory(session, "EU", service(fake), clock)
    second.restore(first.dump())
    assert await second.place() == place
    assert len(fake.paths()) == 1


async def test_other_settings_ask_again(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    clock = FakeClock()
    first = Directory(session, "EU", service(fake), clock)
    await first.place()
    second = Directory(session, "EU", service(fake, app_versions=("3.7",)), clock)
    second.restore(first.dump())
    await second.place()
    assert fake.paths()[-1] == f"{DISCOVER}/3.7"


async def test_a_kept_place_is_checked_like_a_new_one(fake_and_session: tuple[FakeCareLink, Tokens]) -> None:
    fake, session = fake_and_session
    clock = FakeClock()
    first = Directory(session, "EU", service(fake), clock)
    await first.place()
    good = first.dump()
    forged = {**good, "place": {**good["place"], "data_url": "https://evil.example/connect/carepartner/v13"}}
    for kept in (forged, {**good, "place": {}}, {**good, "found_at": "soon"}, {**good, "place": None}, None, 5, {}):
        second = Directory(session, "EU", service(fake), clock)
        second.restore(kept)
        assert second.dump() == {}
