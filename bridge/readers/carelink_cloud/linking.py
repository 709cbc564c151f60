"""Linking a CareLink account: the person signs in on CareLink's own page, or brings another tool's token file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import ValidationError

from bridge.contracts import Authorise, Grant, Hold, OAuthToken, Session, Step
from bridge.errors import Forbidden, Incompatible, Refused, SettingsInvalid, Transient, Unauthorised
from bridge.model.health import Health
from bridge.readers.carelink_cloud.account import (
    Account,
    Followed,
    about_me,
    followed,
    nobody_followed,
    only_one,
    who_am_i,
)
from bridge.readers.carelink_cloud.client import health_of
from bridge.readers.carelink_cloud.discovery import Place, SignIn, discover, sign_in_config
from bridge.readers.carelink_cloud.settings import CareLinkSettings, Region, ServiceSettings, trusted
from bridge.readers.carelink_cloud.tokenfile import TokenFile, parse_token_file

_HOSTS = (".minimed.eu", ".minimed.com")
_REFRESH_MARGIN_S = 600.0
_REGION = Step(
    key="region",
    prompt=(
        "Where is the CareLink account? Use a CarePartner account made only for this program and invited by the "
        "patient: CareLink lets one app at a time use an account, so signing in with it elsewhere ends the reading "
        "here. The patient's own upload app is not disturbed."
    ),
    choices={
        "EU": "Europe and all other countries (carelink.minimed.eu)",
        "US": "United States (carelink.minimed.com)",
    },
)
_WAY = Step(
    key="way",
    prompt="How do you want to sign in?",
    choices={
        "browser": "With a browser, on CareLink's own page (recommended)",
        "file": "With the token file of another CareLink tool",
    },
)
_FILE = Step(
    key="token_file",
    prompt=(
        "The content of the token file (such as logindata.json). Stop the other tool first and never start it again "
        "with this file: CareLink ends the sign-in when two programs use one refresh token."
    ),
    secret=True,
)
_LEFT = "If the CarePartner account was made only for this, remove it from the patient's care partners in CareLink."


class CareLinkLinking:
    """How a person lets the program read a CareLink account."""

    name = "carelink-cloud"
    scopes: tuple[str, ...] = ("profile", "openid", "offline_access")

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """Region, way, then the sign-in or the token file; once authorised, whom to read.

        Raises Refused for an answer that does not fit, and what discovery and account calls raise.
        """
        service = _service(settings)
        if "region" not in answers:
            return _REGION
        region = _region(answers["region"])
        if "authorised" in answers:
            return await _choose(session, region, service, settings, answers)
        if "way" not in answers:
            return _WAY
        if _chosen(_WAY, answers["way"]) == "browser":
            return await _browser(session, region, service)
        if "token_file" not in answers:
            return _FILE
        return await _file(session, region, service, answers["token_file"])

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """One call about the account: whether the sign-in works and what the account's flags ask for."""
        try:
            service = _service(settings)
            place = await discover(session, _region(str(settings.get("region", ""))), service)
            return (await about_me(session, place, service)).health
        except (Transient, Unauthorised, Forbidden, Refused, Incompatible, SettingsInvalid) as error:
            return health_of(error)

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """Nothing beyond the token's own revocation; says what is left for the person to do."""
        return _LEFT


# --- answers and settings ----------------------------------------------------------------------------


def _service(settings: Mapping[str, Any]) -> ServiceSettings:
    """The service's part of a table that may not be complete yet."""
    try:
        return ServiceSettings.model_validate(_service_part(settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(
            f"carelink-cloud: `{where}`: {first['msg'].removeprefix('Value error, ')}.",
            next_step="Correct it in the settings.",
        ) from None


def _service_part(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: settings[key] for key in ServiceSettings.model_fields if settings.get(key) is not None}


def _region(answer: str) -> Region:
    wanted = _chosen(_REGION, answer)
    return next(region for region in get_args(Region) if region == wanted)


def _chosen(step: Step, answer: str) -> str:
    wanted = answer.strip().lower()
    for choice in step.choices:
        if choice.lower() == wanted:
            return choice
    raise Refused(f"`{step.key}` must be one of: {', '.join(step.choices)}.", next_step="Answer again.")


# --- signing in --------------------------------------------------------------------------------------


async def _browser(session: Session, region: Region, service: ServiceSettings) -> Authorise:
    place = await discover(session, region, service)
    sign_in = await sign_in_config(session, place, service)
    return Authorise(
        client_id=sign_in.client_id,
        authorization_url=sign_in.authorization_url,
        token_url=sign_in.token_url,
        redirect_uri=sign_in.redirect_uri,
        scope=sign_in.scope,
        hosts=_hosts(service, place, sign_in),
        params={"audience": sign_in.audience} if sign_in.audience else {},
        revocation_url=sign_in.revocation_url,
        header="Authorization",
        refresh_margin_s=_REFRESH_MARGIN_S,
    )


async def _file(session: Session, region: Region, service: ServiceSettings, text: str) -> Hold:
    tokens = parse_token_file(text)
    if tokens.token_url and not trusted(tokens.token_url, loopback=service.loopback):
        raise Refused(
            "The token file names a sign-in address that is not CareLink's own.",
            next_step="Sign in with the browser instead.",
        )
    place = await discover(session, region, service)
    sign_in = await sign_in_config(session, place, service)
    return Hold(_credential(tokens, sign_in), _hosts(service, place, sign_in, tokens.token_url))


def _credential(tokens: TokenFile, sign_in: SignIn) -> OAuthToken:
    audience = tokens.audience or sign_in.audience
    return OAuthToken(
        client_id=tokens.client_id or sign_in.client_id,
        token_url=tokens.token_url or sign_in.token_url,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=tokens.expires_at,
        scope=tokens.scope or sign_in.scope,
        revocation_url=sign_in.revocation_url,
        header="Authorization",
        refresh_margin_s=_REFRESH_MARGIN_S,
        extra={"audience": audience} if audience else {},
    )


def _hosts(service: ServiceSettings, place: Place, sign_in: SignIn, *others: str) -> tuple[str, ...]:
    """The provider's domains; for a service on this machine, exactly the hosts that its documents name."""
    if not service.loopback:
        return _HOSTS
    urls = (
        service.discovery_url, place.account_url, place.data_url, place.sso_url,
        sign_in.authorization_url, sign_in.token_url, sign_in.revocation_url, sign_in.userinfo_url, *others,
    )  # fmt: skip
    return tuple(sorted({urlsplit(url).netloc for url in urls if url}))


# --- whom to read ------------------------------------------------------------------------------------


async def _choose(
    session: Session,
    region: Region,
    service: ServiceSettings,
    settings: Mapping[str, Any],
    answers: Mapping[str, str],
) -> Step | Grant:
    place = await discover(session, region, service)
    account = await _account(session, place, service)
    base = {**_service_part(settings), "region": region, **_account_part(account)}
    hosts = _hosts(service, place, await sign_in_config(session, place, service))
    if account.role == "patient":
        return _grant(hosts, {"": base}, "CareLink: the account's own data is read.")
    people = await followed(session, place, service)
    if not people:
        raise nobody_followed()
    chosen: Sequence[Followed] = people if only_one(people) else ()
    if not chosen:
        step = _patient_step(people)
        if "patient" not in answers:
            return step
        chosen = _picked(people, answers["patient"])
    names = [person.name for person in people]
    tables = {_label(person, names): {**base, "patient": person.username} for person in chosen}
    return _grant(hosts, tables, f"CareLink: the data of {', '.join(tables)} is read.")


async def _account(session: Session, place: Place, service: ServiceSettings) -> Account:
    """Who signed in; an access token that came from a file may be dead while its refresh token lives."""
    try:
        return await who_am_i(session, place, service)
    except Unauthorised:
        await session.renew()
    return await who_am_i(session, place, service)


def _account_part(account: Account) -> dict[str, str]:
    part = {"username": account.username, "role": str(account.role)}
    return {**part, "country": account.country} if account.country else part


def _patient_step(people: Sequence[Followed]) -> Step:
    names = [person.name for person in people]
    return Step(
        key="patient",
        prompt="This account follows several people. Whose data shall be read?",
        choices={person.username: _label(person, names) for person in people},
        many=True,
    )


def _picked(people: Sequence[Followed], answer: str) -> tuple[Followed, ...]:
    """The persons named, in the order named; `all` is everyone."""
    if answer.strip().lower() == "all":
        return tuple(people)
    known = {person.username.lower(): person for person in people}
    wanted = list(dict.fromkeys(part.strip().lower() for part in answer.split(",") if part.strip()))
    if not wanted or any(name not in known for name in wanted):
        raise Refused(
            f"`patient` must name one or more of: {', '.join(person.username for person in people)}; or `all`.",
            next_step="Answer again.",
        )
    return tuple(known[name] for name in wanted)


def _label(person: Followed, names: Sequence[str]) -> str:
    """The person's name; with the user name where two share it."""
    return person.name if names.count(person.name) == 1 else f"{person.name} ({person.username})"


def _grant(hosts: tuple[str, ...], tables: Mapping[str, Mapping[str, Any]], summary: str) -> Grant:
    for table in tables.values():
        CareLinkSettings.model_validate(table)
    (_, first), *rest = tables.items()
    return Grant(hosts, CareLinkLinking.scopes, dict(first), summary, {name: dict(table) for name, table in rest})
