"""What a site is and what we may do there: asked at the start and every six hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.nightscout.access import Access, permissions_of
from adapters.nightscout.client import SiteClient, mapping, not_itself, parsed
from adapters.nightscout.permissions import Groups, allows, listed, missing
from bridge.contracts import Clock
from bridge.errors import Incompatible
from bridge.model import to_ms
from bridge.model.health import Health, State

_FULL_PERCENT = 75
_TOLERATED_SKEW_S = 60


@dataclass(frozen=True, slots=True)
class Site:
    """A survey of one site. Unknown is None. `skew_s`: how far its clock is ahead of ours."""

    version: str | None
    has_v3: bool
    units: str | None
    careportal: bool
    groups: Groups
    subject: str
    skew_s: float
    full_percent: float | None
    refused: Sequence[str]
    """Collections that took no new documents."""

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def takes_status_by_v3(self) -> bool:
        """v3 creates a document at first, and updates it on a retry: both rights are needed."""
        wanted = ("api:devicestatus:create", "api:devicestatus:update")
        return self.has_v3 and all(allows(self.groups, one) for one in wanted)


async def survey(client: SiteClient, access: Access, clock: Clock, collections: Sequence[str]) -> Site:
    """Ask the site. The token is tried first where a wrong one costs nothing.

    Raises Transient, Unauthorised, Incompatible. Stores nothing: an empty array shows the right to create.
    """
    access.require_unblocked()
    version, has_v3, skew_s = await _version(client, clock)
    found = await access.exchange()
    status = await client.request("GET", "/api/v1/status.json")
    about = mapping(status) if status.status == 200 else {}
    settings = about.get("settings")
    posts = {name: await _create_is_allowed(client, name) for name in collections}
    careportal = about.get("careportalEnabled") is not False and posts.get("treatments") is not None
    return Site(
        version=version or _text(about.get("version")),
        has_v3=has_v3,
        units=_text(settings.get("units")) if isinstance(settings, dict) else None,
        careportal=careportal,
        groups=permissions_of(found),
        subject=found.subject,
        skew_s=skew_s,
        full_percent=await _fill(client),
        refused=[name for name, allowed in posts.items() if allowed is False],
    )


async def _version(client: SiteClient, clock: Clock) -> tuple[str | None, bool, float]:
    """Version, whether there is an API v3, and how far its clock is ahead of ours."""
    before = clock.now()
    result = await client.version()
    if result is None:
        return None, False, 0.0
    ours_ms = (to_ms(before) + to_ms(clock.now())) / 2
    return _text(result.get("version")), True, round((result["srvDate"] - ours_ms) / 1000, 1)


async def _create_is_allowed(client: SiteClient, name: str) -> bool | None:
    """Whether the collection takes documents of ours; None for treatments where the careportal is off."""
    answer = await client.request("POST", f"/api/v1/{name}.json", body=b"[]")
    if answer.status in (401, 403):
        return False
    if answer.status == 404:
        if name == "treatments":
            return None
        raise Incompatible(f"The site has no collection {name}.", next_step="Check the address and its version.")
    if answer.status != 200 or parsed(answer) != []:
        raise not_itself(answer)
    return True


async def _fill(client: SiteClient) -> float | None:
    """How full the database is, percent; None where the site does not say."""
    answer = await client.request("GET", "/api/v2/properties/dbsize")
    size = mapping(answer).get("dbsize") if answer.status == 200 else None
    details = size.get("details") if isinstance(size, dict) else None
    percent = details.get("dataPercentage") if isinstance(details, dict) else None
    return float(percent) if isinstance(percent, (int, float)) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def health_of(site: Site, collections: Sequence[str]) -> Health:
    """The state a person should see."""
    lacking = missing(site.groups, collections)
    if site.refused:
        named = [one for one in lacking if one.split(":")[1] in site.refused]
        named = named or [f"api:{name}:create" for name in site.refused]
        return Health(
            State.PERMISSION_DENIED,
            f"The token may not write to {', '.join(site.refused)}. Add {listed(named)} to the role of "
            f"the subject {site.subject!r} in the site's admin tools, or switch those streams off.",
        )
    if not site.careportal and "treatments" in collections:
        return Health(
            State.CAREPORTAL_OFF,
            "The site takes no treatments: careportal is not enabled. Add `careportal` to ENABLE of the site, or "
            "leave only glucose, devicestatus and profile switched on.",
        )
    return Health(State.OK, " ".join(_remarks(site, lacking)))


def _remarks(site: Site, lacking: Sequence[str]) -> list[str]:
    said = []
    if site.full_percent is not None and site.full_percent >= _FULL_PERCENT:
        said.append(f"Its database is {site.full_percent:.0f} % full: delete old data in its admin tools in time.")
    if abs(site.skew_s) > _TOLERATED_SKEW_S:
        way = "ahead of" if site.skew_s > 0 else "behind"
        said.append(f"The site's clock is {abs(site.skew_s):.0f} s {way} this machine's; set both by a time server.")
    if lacking:
        said.append(f"Corrections and checks are limited: the token lacks {listed(lacking)}.")
    return said
