"""Finding CareLink: the discovery document per app version, and the sign-in configuration it names.

Unknown app versions are answered with an ancient document, and one version pairs a good sign-in with a
dead data path: a document is taken only when both halves fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import Clock, Session
from bridge.errors import BridgeError, Incompatible, Transient
from bridge.model.health import State
from bridge.model.time import iso_ms, parse_instant
from bridge.readers.carelink_cloud.client import Call, ask, json_object
from bridge.readers.carelink_cloud.settings import Region, ServiceSettings, is_loopback, trusted

REDIRECT_URI = "com.medtronic.carepartner:/sso"
_CACHE = timedelta(hours=24)
_ASK_AGAIN = timedelta(hours=1)
_AUTH0 = "Auth0SSOConfiguration"
_DEAD_SIGN_IN = ("Layer7SSOConfiguration", "SSOConfiguration")
_DATA_PATH = re.compile(r"/connect/carepartner/v(\d{1,4})$")
_HOSTNAME = re.compile(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:.]+\]?")
_UPDATE = "Update the program, or correct `app_versions` and `cumulus_versions` in the settings."


class Unsuitable(Incompatible):
    """A document that cannot be used, with the reason in one clause."""

    state = State.DISCOVERY_UNSUPPORTED.value


@dataclass(frozen=True, slots=True)
class Place:
    """Where a region's services are: sign-in configuration, account API, data API."""

    sso_url: str
    account_url: str
    data_url: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """How a person signs in, from the sign-in configuration."""

    client_id: str
    authorization_url: str
    token_url: str
    scope: str
    audience: str
    redirect_uri: str = REDIRECT_URI
    revocation_url: str | None = None
    userinfo_url: str | None = None


# --- reading the documents (pure) --------------------------------------------------------------------


def parse_discovery(document: object, region: Region, service: ServiceSettings) -> Place:
    """The region's addresses. Raises Unsuitable for a document of another track or with a foreign address."""
    entry = _region_entry(document, region)
    place = Place(
        sso_url=_address(_selected_sign_in(entry), "sign-in configuration", service),
        account_url=_address(entry.get("baseUrlCareLink"), "account address", service),
        data_url=_address(entry.get("baseUrlCumulus"), "data address", service),
    )
    track = _DATA_PATH.search(place.data_url)
    if track is None or int(track[1]) not in service.cumulus_versions:
        raise Unsuitable(f"data version {'v' + track[1] if track else 'unknown'} is not one this program reads")
    return place


def _region_entry(document: object, region: Region) -> Mapping[str, Any]:
    entries = document.get("CP") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Unsuitable("it lists no regions")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("region") == region:
            return entry
    raise Unsuitable(f"it has no region {region}")


def _selected_sign_in(entry: Mapping[str, Any]) -> object:
    """The address under the selected key; the current sign-in when the selector is absent, dangling or a dead one."""
    selector = entry.get("UseSSOConfiguration")
    if isinstance(selector, str) and selector in entry and selector not in _DEAD_SIGN_IN:
        return entry[selector]
    return entry.get(_AUTH0)


def _address(value: object, what: str, service: ServiceSettings) -> str:
    if not isinstance(value, str) or not value:
        raise Unsuitable(f"it has no {what}")
    if not trusted(value, loopback=service.loopback):
        raise Unsuitable(f"its {what} is not CareLink's own")
    return value.rstrip("/")


def parse_sign_in(document: object, service: ServiceSettings) -> SignIn:
    """How to sign in. Raises Unsuitable when a needed part is missing or an address is not the provider's."""
    client = _table(document, "client")
    paths = _table(document, "system_endpoints")
    base = _server(_table(document, "server"), service)
    client_id = client.get("client_id")
    if not isinstance(client_id, str) or not client_id:
        raise Unsuitable("the sign-in configuration names no client")
    return SignIn(
        client_id=client_id,
        authorization_url=_needed(base, paths, "authorization_endpoint_path", service),
        token_url=_needed(base, paths, "token_endpoint_path", service),
        revocation_url=_joined(base, paths.get("token_revocation_endpoint_path"), service),
        userinfo_url=_joined(
            base, _table(document, "oauth_protected_endpoints").get("userinfo_endpoint_path"), service
        ),
        scope=_text(client.get("scope")) or "profile openid offline_access",
        audience=_text(client.get("audience")),
        redirect_uri=_text(client.get("redirect_uri")) or REDIRECT_URI,
    )


def _table(document: object, key: str) -> Mapping[str, Any]:
    table = document.get(key) if isinstance(document, dict) else None
    return table if isinstance(table, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _server(server: Mapping[str, Any], service: ServiceSettings) -> str:
    """`https://host[:port][/prefix]` without a slash at the end; plain http only on this machine."""
    host, port = _text(server.get("hostname")), str(server.get("port") or 443)
    if not _HOSTNAME.fullmatch(host) or not port.isdecimal():
        raise Unsuitable("the sign-in configuration names no server")
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    scheme = "http" if service.loopback and is_loopback(f"http://{name}") else "https"
    prefix = "/".join(part for part in _text(server.get("prefix")).split("/") if part)
    return f"{scheme}://{name}{'' if port == '443' else ':' + port}{'/' + prefix if prefix else ''}"


def _joined(base: str, path: object, service: ServiceSettings) -> str | None:
    """`base` and `path` with single slashes; None without a path or for an address that is not the provider's."""
    parts = [part for part in _text(path).split("/") if part]
    url = f"{base}/{'/'.join(parts)}"
    return url if parts and trusted(url, loopback=service.loopback) else None


def _needed(base: str, paths: Mapping[str, Any], key: str, service: ServiceSettings) -> str:
    url = _joined(base, paths.get(key), service)
    if url is None:
        raise Unsuitable(f"the sign-in configuration has no usable {key}")
    return url


# --- fetching them -----------------------------------------------------------------------------------


async def discover(session: Session, region: Region, service: ServiceSettings) -> Place:
    """The first suitable document of the configured app versions.

    Raises Transient on an outage, Incompatible (`discovery_unsupported`) naming the versions tried.
    """
    reasons: list[str] = []
    outage: Transient | None = None
    for version in service.app_versions:
        url = f"{service.discovery_base(region)}/{version}"
        answer = await ask(session, Call("GET", url), service.user_agent, authorise=False)
        try:
            return parse_discovery(json_object(answer, "discovery"), region, service)
        except Unsuitable as error:
            reasons.append(f"{version}: {error.message}")
        except Transient as error:
            outage = outage if error.state == State.DISCOVERY_UNSUPPORTED else error
            reasons.append(f"{version}: status {answer.status}")
        except BridgeError:
            reasons.append(f"{version}: status {answer.status}, no document")
    if outage is not None:
        raise outage
    raise Incompatible(
        f"CareLink's discovery has nothing that this program can use ({'; '.join(reasons)}).",
        next_step=_UPDATE, state=State.DISCOVERY_UNSUPPORTED.value,
    )  # fmt: skip


async def sign_in_config(session: Session, place: Place, service: ServiceSettings) -> SignIn:
    """The sign-in configuration of a place. Raises Transient, or Incompatible (`discovery_unsupported`)."""
    answer = await ask(session, Call("GET", place.sso_url), service.user_agent, authorise=False)
    try:
        return parse_sign_in(json_object(answer, "sign-in configuration"), service)
    except Transient:
        raise
    except BridgeError as error:
        why = error.message if isinstance(error, Unsuitable) else f"status {answer.status}"
        raise Incompatible(
            f"CareLink's sign-in configuration cannot be used ({why}).",
            next_step=_UPDATE, state=State.DISCOVERY_UNSUPPORTED.value,
        ) from None  # fmt: skip


class Directory:
    """The place of one account's region, remembered for 24 hours and across restarts."""

    def __init__(self, session: Session, region: Region, service: ServiceSettings, clock: Clock) -> None:
        self._session, self._region, self._service, self._clock = session, region, service, clock
        self._place: Place | None = None
        self._found_at: datetime | None = None

    async def place(self) -> Place:
        """The place; an old one is kept when the discovery cannot be asked just now."""
        if self._place is None or self._fresh():
            return self._place or await self.rediscover()
        try:
            return await self.rediscover()
        except (Transient, Incompatible):
            self._found_at = self._clock.now() - _CACHE + _ASK_AGAIN
            return self._place

    async def rediscover(self) -> Place:
        """Ask the discovery now. Raises Transient or Incompatible, keeping what was known."""
        self._place = await discover(self._session, self._region, self._service)
        self._found_at = self._clock.now()
        return self._place

    async def sign_in(self) -> SignIn:
        """The sign-in configuration by a discovery asked now."""
        return await sign_in_config(self._session, await self.rediscover(), self._service)

    def _fresh(self) -> bool:
        age = self._clock.now() - self._found_at if self._found_at else _CACHE
        return timedelta(0) <= age < _CACHE

    def dump(self) -> dict[str, Any]:
        """Small JSON for the next start; empty when nothing is known."""
        if self._place is None or self._found_at is None:
            return {}
        return {"asked": self._asked(), "found_at": iso_ms(self._found_at), "place": asdict(self._place)}

    def restore(self, kept: object) -> None:
        """Take back what `dump` gave, unless the settings changed or an address would not be accepted today."""
        if not isinstance(kept, Mapping) or kept.get("asked") != self._asked():
            return
        try:
            place, found_at = Place(**kept["place"]), parse_instant(kept["found_at"])
        except (KeyError, TypeError, ValueError):
            return
        if all(trusted(url, loopback=self._service.loopback) for url in asdict(place).values()):
            self._place, self._found_at = place, found_at

    def _asked(self) -> list[Any]:
        service = self._service
        return [
            service.discovery_base(self._region),
            self._region,
            [*service.app_versions],
            [*service.cumulus_versions],
        ]
