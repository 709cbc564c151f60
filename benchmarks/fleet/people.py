"""Everybody's settings and credentials, as linking would leave them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

from benchmarks.fleet.source import CARELINK_LIVES_S, DISCOVERY, TIDEPOOL_LIVES_S, access_token
from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, create_key, open_vault
from bridge.journal.mongo import opened_credentials

ZONE = "Europe/Berlin"


def profile_of(number: int) -> str:
    """Of one length for everybody."""
    return f"p{number:05d}"


def username_of(number: int) -> str:
    """Of one length for everybody."""
    return f"patient{number:05d}"


def site_of(number: int) -> str:
    """Name of a Nightscout site."""
    return f"site{number:05d}"


def user_of(number: int) -> str:
    """User id at Tidepool."""
    return f"user{number:05d}"


def write_settings(
    folder: Path, numbers: Iterable[int], carelink: str, sinks: str, uri: str, database: str, share: int
) -> None:
    """`glucobridge.toml`: a CareLink account, a Nightscout site and a Tidepool account for each."""
    lines = [
        'installation = "bench"', "[service]", "port = 0", "[log]", 'level = "warning"', "[usb]", "enabled = false",
        "[journal]", f'uri = "{uri}"', f'database = "{database}"', f"share = {share}",
    ]  # fmt: skip
    for number in numbers:
        profile = profile_of(number)
        lines += [
            f"[profiles.{profile}]", f'timezone = "{ZONE}"',
            f"[profiles.{profile}.readers.carelink-cloud]", f'credential = "{profile}-carelink-cloud"',
            'region = "EU"', 'role = "patient"', f'username = "{username_of(number)}"',
            f'discovery_url = "{carelink}{DISCOVERY}"',
            f"[profiles.{profile}.destinations.nightscout]", f'credential = "{profile}-nightscout"',
            f'url = "{sinks}/ns/{site_of(number)}"',
            f"[profiles.{profile}.destinations.tidepool]", f'credential = "{profile}-tidepool"',
            f'api_url = "{sinks}/tp"', f'user_id = "{user_of(number)}"', 'client_id = "bench"',
        ]  # fmt: skip
    (folder / "glucobridge.toml").write_text("\n".join(lines))


async def write_credentials(
    folder: Path, uri: str, database: str, numbers: Iterable[int], carelink: str, sinks: str, now: float
) -> None:
    """The vault beside the journal. Access tokens run out one after the other over their whole life."""
    random, key = Random(1), create_key(folder, {})
    hosts = carelink.split("://")[1], sinks.split("://")[1]
    async with opened_credentials(uri, database) as store:
        vault = await open_vault(store, key)
        for number in numbers:
            profile, url = profile_of(number), f"{carelink}/oauth/token"
            cloud = _token(url, username_of(number), now + random.uniform(0, CARELINK_LIVES_S), CARELINK_LIVES_S, 600)
            study = _token(url, user_of(number), now + random.uniform(0, TIDEPOOL_LIVES_S), TIDEPOOL_LIVES_S, 60)
            study = replace(study, header="X-Tidepool-Session-Token")
            site = StaticToken(f"bridge-{number:016x}", "api-secret")
            await asyncio.gather(
                vault.add(f"{profile}-carelink-cloud", Entry("carelink-cloud", cloud, hosts, (), now)),
                vault.add(f"{profile}-nightscout", Entry("nightscout", site, hosts, (), now)),
                vault.add(f"{profile}-tidepool", Entry("tidepool", study, hosts, (), now)),
            )


def _token(url: str, username: str, ends: float, lives_s: float, margin_s: float) -> OAuthToken:
    return OAuthToken(
        client_id="bench", token_url=url, access_token=access_token(username),
        refresh_token=f"refresh-{username}", expires_at=ends, obtained_at=ends - lives_s, refresh_margin_s=margin_s,
    )  # fmt: skip
