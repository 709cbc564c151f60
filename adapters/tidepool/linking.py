"""How a person links Tidepool: sign in at Tidepool, or, as an opt-in, the older login by password."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from adapters.tidepool.client import SESSION_HEADER, TidepoolClient, discover, no_right
from adapters.tidepool.settings import TidepoolSettings
from bridge.contracts import Authorise, Grant, Hold, Session, StaticToken, Step
from bridge.errors import BridgeError, Refused, Transient
from bridge.model.health import Health, State

SCOPE = "openid offline_access"
_WAY = Step(
    "way",
    "How do you want to sign in to Tidepool? With an application id, you sign in on Tidepool's own page and this "
    "program never sees your password; Tidepool gives such ids to applications that ask for one at "
    "support@tidepool.org. Without one there is only the older login with e-mail and password.",
    choices={"application": "Sign in on Tidepool's page (application id needed)", "password": "E-mail and password"},
)
_CLIENT_ID = Step(
    "client_id",
    "The application id (client id) that Tidepool registered for this installation. Ask support@tidepool.org for a "
    "public OpenID client with the redirect address of these settings and the scopes 'openid offline_access'. Ids "
    "of other applications must not be used.",
)
_WARNING = Step(
    "understood",
    "The older login sends your password to Tidepool once; it is not kept. Tidepool may switch this login off, it "
    "does not work for accounts that sign in through a clinic's own login, and it runs out after some time: then "
    "this program stops uploading and asks you to link again. Go on?",
    choices={"yes": "Go on", "no": "Stop"},
)
_EMAIL = Step("email", "E-mail address of the Tidepool account.")
_PASSWORD = Step("password", "Password of the Tidepool account. It is used once and not kept.", secret=True)
_LOGIN_SAYS = {
    400: "Tidepool wants both an e-mail address and a password.",
    401: "Tidepool does not know this e-mail address with this password.",
    403: "This Tidepool account's e-mail address is not verified yet.",
    404: "This Tidepool no longer has the older login.",
}


def _own(settings: Mapping[str, Any]) -> TidepoolSettings:
    """The table's own keys; the faces add the installation's id."""
    return TidepoolSettings.model_validate({k: v for k, v in settings.items() if k in TidepoolSettings.model_fields})


class TidepoolLinking:
    """Steps: way of signing in, sign-in, whose data. Stateless."""

    name = "tidepool"
    scopes: tuple[str, ...] = (
        "Read and upload diabetes data of your account, and of people who gave you the upload permission.",
    )

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """The next step; see `bridge.contracts.Linking`."""
        known = _own(settings)
        if "authorised" in answers:
            return await self._whose(session, known, answers)
        client_id = known.client_id or answers.get("client_id")
        if client_id:
            return await _authorise(session, known, client_id)
        if "way" not in answers:
            return _WAY
        if answers["way"] == "application":
            return _CLIENT_ID
        return await _older_login(session, known, answers)

    async def _whose(self, session: Session, known: TidepoolSettings, answers: Mapping[str, str]) -> Step | Grant:
        client = TidepoolClient(session, known)
        people = await _people(client)
        if not people:
            raise Refused(
                "This account has no data of its own, and nobody gave it the upload permission.",
                next_step="Ask the person to share data with this account, uploads included, then link again.",
            )
        if len(people) > 1 and "person" not in answers:
            return Step("person", "Whose data should be uploaded?", choices=people, many=True)
        chosen = answers.get("person", next(iter(people)))
        ids = list(people) if chosen == "all" else chosen.split(",")
        return await _grant(
            session, known, answers, {user_id: people[user_id] for user_id in ids if user_id in people}
        )

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """Whether the account may upload for the person in the settings."""
        known = _own(settings)
        client = TidepoolClient(session, known)
        try:
            people = await _people(client)
        except BridgeError as error:
            return Health(State.named(error.state), str(error))
        if known.user_id is not None and known.user_id not in people:
            return Health(State.PERMISSION_DENIED, str(no_right()))
        return Health()

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """End an older login's session; OAuth sessions are ended by their own revocation."""
        known = _own(settings)
        if known.client_id is None:
            answer = await session.request("POST", f"{known.api_url}/auth/logout")
            if answer.status >= 500:
                raise Transient(f"Tidepool could not end the session (HTTP {answer.status}).")
        return (
            "What was uploaded stays in Tidepool; it can be deleted there. If somebody gave this account a "
            "permission, they can take it back in Tidepool under Share Data."
        )


async def _authorise(session: Session, known: TidepoolSettings, client_id: str) -> Authorise:
    provider = await discover(session, known)
    return Authorise(
        client_id=client_id,
        authorization_url=provider.authorization_url,
        token_url=provider.token_url,
        redirect_uri=known.redirect_uri,
        scope=SCOPE,
        hosts=_hosts(known.api_url, provider.token_url),
        revocation_url=provider.revocation_url,
        header=SESSION_HEADER,
    )


def _hosts(*urls: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urlsplit(url).netloc for url in urls))


async def _older_login(session: Session, known: TidepoolSettings, answers: Mapping[str, str]) -> Step | Hold:
    if "understood" not in answers:
        return _WARNING
    if answers["understood"] != "yes":
        raise Refused(
            "Nothing was linked.", next_step="Ask Tidepool for an application id and link again, or answer yes."
        )
    if not answers.get("email"):
        return _EMAIL
    if "password" not in answers:
        return _PASSWORD
    pair = base64.b64encode(f"{answers['email']}:{answers['password']}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}"}
    answer = await session.request("POST", f"{known.api_url}/auth/login", headers=headers, authorise=False)
    token = answer.headers.get(SESSION_HEADER.lower())
    if answer.status == 200 and token:
        return Hold(StaticToken(token, SESSION_HEADER), _hosts(known.api_url))
    if answer.status >= 500:
        raise Transient(f"Tidepool has an error of its own (HTTP {answer.status}).")
    said = _LOGIN_SAYS.get(answer.status, f"Tidepool refused the login (HTTP {answer.status}).")
    raise Refused(said, next_step="Correct it and try again.")


async def _people(client: TidepoolClient) -> dict[str, str]:
    """Whose data this account may upload: id -> name; its own first."""
    account = await client.user()
    own = str(account["userid"])
    people = {} if set(account.get("roles") or ()) & {"clinic", "clinician"} else {own: "my own account"}
    for each in await client.sharing(own):
        if "upload" in (each.get("trustorPermissions") or {}):
            profile = each.get("profile") or {}
            people[str(each["userid"])] = str(profile.get("fullName") or each["userid"])
    return people


async def _grant(
    session: Session, known: TidepoolSettings, answers: Mapping[str, str], chosen: Mapping[str, str]
) -> Grant:
    client_id = known.client_id or answers.get("client_id")
    shared = {"client_id": client_id} if client_id else {}
    urls = [known.api_url, (await discover(session, known)).token_url] if client_id else [known.api_url]
    first, *others = chosen.items()
    return Grant(
        hosts=_hosts(*urls),
        scopes=tuple(SCOPE.split()) if client_id else (),
        settings={"user_id": first[0], **shared},
        summary=f"Uploads go to Tidepool, for {', '.join(chosen.values())}.",
        others={name: {"user_id": user_id, **shared} for user_id, name in others},
    )
