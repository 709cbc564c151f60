"""Who the account is and whom it follows. Only user name, role, country and flags are taken up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts import Session
from bridge.errors import BridgeError, Forbidden, Incompatible, Refused, Transient
from bridge.model.health import Health, State
from bridge.readers.carelink_cloud.client import Call, Meaning, ask, failure, json_object, meaning, origin, parsed
from bridge.readers.carelink_cloud.discovery import Place, sign_in_config
from bridge.readers.carelink_cloud.settings import Role, ServiceSettings


@dataclass(frozen=True, slots=True)
class Account:
    """The signed-in account. `username` is empty until the ladder found it."""

    username: str
    role: Role
    country: str = ""
    suspended: bool = False
    must_consent: bool = False

    @property
    def health(self) -> Health:
        """What the account's own flags ask a person to do."""
        if self.suspended:
            return Health(State.PERMISSION_DENIED, "CareLink has suspended this account. Contact CareLink support.")
        if self.must_consent:
            return Health(
                State.PERMISSION_DENIED,
                "CareLink wants its terms accepted again. Open the CareLink site and sign in there once.",
            )
        return Health()


@dataclass(frozen=True, slots=True)
class Followed:
    """A person whose data a care partner may read. `family` is the device family last seen, if told."""

    username: str
    name: str
    family: str = ""


# --- reading the answers (pure) ----------------------------------------------------------------------


def body_role(value: object) -> Role:
    """The role as requests name it. Raises Refused, with the value, for one that cannot read data here."""
    role = value if isinstance(value, str) else ""
    if "CARE_PARTNER" in role:
        return "carepartner"
    if role in ("PATIENT", "PATIENT_OUS", "PATIENT_US"):
        return "patient"
    raise Refused(
        f"This CareLink account has the role {value!r}, which cannot be read here.",
        next_step="Use a patient's account or a CarePartner account.",
    )


def parse_account(document: Mapping[str, Any]) -> Account:
    """The account of a users/me answer. Raises Refused for an unknown role."""
    country = document.get("country")
    return Account(
        username=_name(document.get("username")),
        role=body_role(document.get("role")),
        country=country.upper() if isinstance(country, str) and len(country) == 2 and country.isalpha() else "",
        suspended=document.get("accountSuspended") is True,
        must_consent=document.get("needToReconsent") is True,
    )


def parse_followed(document: object) -> tuple[Followed, ...]:
    """Persons with an active link, in the order given. Raises Incompatible for anything but a list."""
    if not isinstance(document, list):
        raise Incompatible("CareLink's list of followed persons is not a list.", next_step="Update the program.")
    links = (link for link in document if isinstance(link, dict))
    return tuple(_followed(link) for link in links if _name(link.get("username")) and _active(link))


def _active(link: Mapping[str, Any]) -> bool:
    status = link.get("status")
    return status is None or status == "ACTIVE"


def _followed(link: Mapping[str, Any]) -> Followed:
    username = _name(link["username"])
    name = " ".join(filter(None, (_name(link.get("firstName")), _name(link.get("lastName")))))
    return Followed(username, name or _name(link.get("nickname")) or username, _name(link.get("lastDeviceFamily")))


def only_one(people: Sequence[Followed]) -> Followed | None:
    """The one person followed; None when a person must choose."""
    return people[0] if len(people) == 1 else None


def user_name(claims: Mapping[str, Any]) -> str:
    """The CareLink user name in a user-info answer; never the e-mail address."""
    details = claims.get("token_details")
    nested = details.get("preferred_username") if isinstance(details, dict) else None
    email = _name(claims.get("email")).lower()
    candidates = (nested, claims.get("preferred_username"), claims.get("username"))
    return next((name for name in map(_name, candidates) if name and name.lower() != email), "")


def _name(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if text.isprintable() else ""


# --- asking ------------------------------------------------------------------------------------------


async def about_me(session: Session, place: Place, service: ServiceSettings) -> Account:
    """The users/me answer, one call. `username` may be empty. Raises the errors of `client.failure`, Refused."""
    answer = await ask(session, Call("GET", f"{place.account_url}/users/me"), service.user_agent)
    return parse_account(json_object(answer, "account page"))


async def who_am_i(session: Session, place: Place, service: ServiceSettings) -> Account:
    """The account with its user name, from the first of users/me, the profile and user info that tells it.

    Raises the errors of `client.failure`, and Refused when none of them names it.
    """
    account = await about_me(session, place, service)
    username = account.username or await _profile_name(session, place, service)
    username = username or await _userinfo_name(session, place, service)
    if not username:
        raise Refused(
            "CareLink does not tell this account's user name.",
            next_step="Sign in once on the CareLink site, then link again.",
        )
    return Account(username, account.role, account.country, account.suspended, account.must_consent)


async def _profile_name(session: Session, place: Place, service: ServiceSettings) -> str:
    url = f"{origin(place.account_url)}/patient/users/me/profile"
    return _name((await _optional(session, url, service)).get("username"))


async def _userinfo_name(session: Session, place: Place, service: ServiceSettings) -> str:
    url = (await sign_in_config(session, place, service)).userinfo_url
    return user_name(await _optional(session, url, service)) if url else ""


async def _optional(session: Session, url: str, service: ServiceSettings) -> dict[str, Any]:
    """The JSON object at an address; empty when this account may not see it. Raises Transient on an outage."""
    answer = await ask(session, Call("GET", url), service.user_agent)
    try:
        return json_object(answer, "account page")
    except Transient as error:
        if answer.status == 404:
            return {}
        raise error from None
    except BridgeError:
        return {}


async def followed(session: Session, place: Place, service: ServiceSettings) -> tuple[Followed, ...]:
    """Persons this care partner follows with an active link. Raises the errors of `client.failure`."""
    answer = await ask(session, Call("GET", f"{place.account_url}/links/patients"), service.user_agent)
    verdict = meaning(answer)
    if verdict is Meaning.NO_DATA:
        return ()
    if verdict is not Meaning.DATA:
        raise failure(verdict, answer, "list of followed persons")
    return parse_followed(parsed(answer.body))


def nobody_followed() -> Forbidden:
    """The error for a care partner whom nobody has let in."""
    return Forbidden(
        "This CarePartner account follows nobody yet.",
        next_step="Have the patient invite it in the CareLink or MiniMed app, accept there, then link again.",
    )
