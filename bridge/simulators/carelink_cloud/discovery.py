"""Discovery and SSO documents, with the traps of old, unknown and retired versions."""

from __future__ import annotations

from typing import Any

AUTH0_PATHS = {
    "US": "/configs/v1/carepartner_auth0_us_sso_config_v1.json",
    "EU": "/configs/v1/carepartner_auth0_ous_sso_config_v1.json",
}
_OLD_SSO_PATHS = {"US": "/configs/v1/sso_cp_us_v5.json", "EU": "/configs/v1/eu_sso_cp_eu_v6.json"}
_COUNTRIES = (("US", "USA", "US"), ("GB", "GBR", "EU"), ("DE", "DEU", "EU"), ("CA", "CAN", "EU"), ("AU", "AUS", "EU"))
_ANCIENT = 2
OTHER_BASES = {"v10": 204, "v12": 401} | {f"v{number}": 403 for number in range(14, 21)}
"""Status of the base paths that serve no document."""


def known_versions() -> dict[str, int]:
    """App version -> version of the data API. What is missing gets an ancient document."""
    return {"3.1": 6, "3.2": 11, "3.3": 11, "3.4": 11, "3.5": 11, "3.6": 13, "3.7": 13, "3.8": 13}


def has_auth0(version: str) -> bool:
    """Whether the document of an app version selects Auth0."""
    return version in ("3.5", "3.6", "3.7", "3.8")


def document(version: str, data_version: int | None, base: str) -> dict[str, Any]:
    """The discovery document of an app version, all hosts folded on `base`."""
    return {
        "config": f"android,{version}",
        "supportedCountries": _countries(),
        "CP": [_region(region, data_version or _ANCIENT, has_auth0(version), base) for region in ("US", "EU")],
        "certificates": [],
    }


def trials_document(version: str) -> dict[str, Any]:
    """What the base path of old clients says today: nothing about CarePartner."""
    return {"config": f"android,{version}", "supportedCountries": _countries(), "certificates": []}


def _countries() -> list[dict[str, Any]]:
    return [{iso: {"region": region, "isoCode": iso, "iso3Code": iso3}} for iso, iso3, region in _COUNTRIES]


def _region(region: str, data_version: int, auth0: bool, base: str) -> dict[str, Any]:
    row = {
        "region": region,
        "baseUrlCareLink": f"{base}/api/carepartner/v2",
        "baseUrlCumulus": f"{base}/connect/carepartner/v{data_version}",
        "baseUrlPde": f"{base}/connect/pde/v2",
    }
    if auth0:
        return row | {
            "UseSSOConfiguration": "Auth0SSOConfiguration",
            "Auth0SSOConfiguration": base + AUTH0_PATHS[region],
            "Layer7SSOConfiguration": base + _OLD_SSO_PATHS[region],
        }
    return row | {"SSOConfiguration": base + _OLD_SSO_PATHS[region]}


def sso_document(region: str, client_id: str, host: str, port: int) -> dict[str, Any]:
    """The SSO configuration of a region. It names no scheme: https, or plain http on this machine."""
    return {
        "server": {"hostname": host, "port": port, "prefix": ""},
        "client": {
            "client_id": client_id, "scope": "profile openid offline_access",
            "redirect_uri": "com.medtronic.carepartner:/sso",
            "audience": "carepartner.patient.us" if region == "US" else "carepartner.patient.ous",
        },
        "system_endpoints": {
            "authorization_endpoint_path": "/authorize", "token_endpoint_path": "/oauth/token",
            "token_revocation_endpoint_path": "/oauth/revoke",
        },
        "oauth_protected_endpoints": {"userinfo_endpoint_path": "/userinfo"},
    }  # fmt: skip
