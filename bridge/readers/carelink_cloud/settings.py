"""Settings of the CareLink cloud reader, and which addresses it may talk to."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Region = Literal["EU", "US"]
Role = Literal["patient", "carepartner"]

DOMAINS = ("minimed.eu", "minimed.com")
"""The provider's own domains: a token goes nowhere else."""
_DISCOVERY = {
    "EU": "https://clcloud.minimed.eu/connect/carepartner/v13/discover/android",
    "US": "https://clcloud.minimed.com/connect/carepartner/v13/discover/android",
}
_BROWSER = (
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36"
)
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")

AppVersion = Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}$")]
MessageVersion = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,4}){1,3}$")]


def is_loopback(url: str) -> bool:
    """Whether an http(s) address stays on this machine."""
    split = _split(url)
    return split is not None and _loopback_host(split[1])


def trusted(url: object, *, loopback: bool = False) -> bool:
    """Whether an address is the provider's (https), or, with `loopback`, one on this machine."""
    split = _split(url)
    if split is None:
        return False
    scheme, host = split
    if loopback and _loopback_host(host):
        return True
    return scheme == "https" and any(host == domain or host.endswith(f".{domain}") for domain in DOMAINS)


def _split(url: object) -> tuple[str, str] | None:
    """(scheme, lower-case host) of a plain http(s) address; None for anything odd."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or not _HOST.fullmatch(host):
        return None
    return parts.scheme, host


def _loopback_host(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class ServiceSettings(BaseModel):
    """How the provider's service is found and spoken to; the same for every account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    app_versions: tuple[AppVersion, ...] = Field(default=("3.8", "3.7", "3.6"), min_length=1)
    """App versions to ask the discovery for, best first."""
    message_app_version: MessageVersion = "3.8.0"
    """The version named in a data request."""
    cumulus_versions: tuple[int, ...] = Field(default=(13,), min_length=1)
    """Versions of the data API that this reader knows."""
    discovery_url: str | None = None
    """Address of the discovery without the version (`.../discover/android`); None: the region's own. With an
    address on this machine the documents may name such addresses too (the simulator)."""
    user_agent: str = Field(default=_BROWSER, min_length=1, max_length=300)

    @field_validator("discovery_url")
    @classmethod
    def _provider_or_loopback(cls, url: str | None) -> str | None:
        if url is not None and not trusted(url, loopback=True):
            raise ValueError("must be an https address under minimed.eu or minimed.com, or one on this machine")
        return None if url is None else url.rstrip("/")

    @field_validator("user_agent")
    @classmethod
    def _header_text(cls, text: str) -> str:
        if not (text.isascii() and text.isprintable()):
            raise ValueError("must be plain printable text")
        return text

    @property
    def loopback(self) -> bool:
        """Whether this points at a service on this machine."""
        return self.discovery_url is not None and is_loopback(self.discovery_url)

    def discovery_base(self, region: Region) -> str:
        """The discovery's address for a region, to be followed by `/<version>`."""
        return self.discovery_url or _DISCOVERY[region]


class CareLinkSettings(ServiceSettings):
    """A profile's `carelink-cloud` table; linking fills the account's fields."""

    region: Region
    username: str = Field(min_length=1, max_length=200)
    """The account's user name as CareLink spells it, never the e-mail address."""
    role: Role
    patient: str | None = Field(default=None, min_length=1, max_length=200)
    """User name of the person followed; None for a patient's own account."""
    country: str = Field(default="", pattern=r"^([A-Za-z]{2})?$")

    @model_validator(mode="after")
    def _carer_names_patient(self) -> CareLinkSettings:
        if self.role == "carepartner" and self.patient is None:
            raise ValueError("a care partner's account needs `patient`, the user name of the person it follows")
        return self

    @property
    def feed(self) -> str:
        """The feed part of every record's identity."""
        return f"carelink:{self.region.lower()}:{(self.patient or self.username).lower()}"
