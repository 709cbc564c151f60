"""Linking an upload server: a sign-in at its issuer, or the token that its operator gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from bridge.contracts import Authorise, Grant, Hold, Session, StaticToken, Step
from bridge.errors import (
    BridgeError,
    Forbidden,
    Incompatible,
    Moved,
    Refused,
    SettingsInvalid,
    Transient,
    Unauthorised,
)
from bridge.model.health import Health, State
from bridge.uploader.clu1 import limits_of
from bridge.uploader.http_settings import HttpSettings

_NEEDED = ("snapshot:write", "uploads:read")
_TOKEN = Step("token", "The token that the operator of the upload server gave you.", secret=True)
_LEFT = "What was uploaded stays on the server; its operator can delete it, and end the token."


class HttpLinking:
    """The server itself stands in the settings; linking finds a credential that it accepts."""

    name = "http"
    scopes: tuple[str, ...] = _NEEDED

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """The next step; see `bridge.contracts.Linking`."""
        known = _own(settings)
        hosts = (urlsplit(known.upload_base_url).netloc,)
        if "authorised" in answers:
            await _require_access(session, known)
            return Grant(hosts, _NEEDED, {}, f"{known.where} takes uploads with this sign-in.")
        if known.issuer is not None and known.client_id is not None:
            return await _authorise(session, known, known.issuer, known.client_id, hosts)
        if not answers.get("token", "").strip():
            return _TOKEN
        return Hold(StaticToken(f"Bearer {answers['token'].strip()}", "Authorization"), hosts)

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """Whether the server speaks the contract and lets this sign-in read its uploads."""
        try:
            await _require_access(session, _own(settings))
        except (Transient, Unauthorised, Forbidden, Refused, Incompatible, Moved, SettingsInvalid) as error:
            return Health(State.named(error.state), str(error))
        return Health()

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """Nothing beyond the OAuth revocation; says what is left to do."""
        return _LEFT


def _own(settings: Mapping[str, Any]) -> HttpSettings:
    try:
        return HttpSettings.model_validate({k: v for k, v in settings.items() if k in HttpSettings.model_fields})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsInvalid(f"Upload server: {where}: {first['msg']}.", next_step="Correct the settings.") from None


async def _authorise(
    session: Session, known: HttpSettings, issuer: str, client_id: str, hosts: tuple[str, ...]
) -> Authorise:
    """The sign-in that the issuer describes. Raises Incompatible when it describes none."""
    answer = await session.request("GET", f"{issuer}/.well-known/openid-configuration", authorise=False)
    try:
        found = answer.json()
        return Authorise(
            client_id=client_id,
            authorization_url=str(found["authorization_endpoint"]),
            token_url=str(found["token_endpoint"]),
            redirect_uri=known.redirect_uri,
            scope=" ".join((*_NEEDED, "offline_access")),
            hosts=hosts,
            revocation_url=found.get("revocation_endpoint"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Incompatible("The issuer does not say where to sign in.", next_step="Check `issuer`.") from None


async def _require_access(session: Session, known: HttpSettings) -> None:
    """Raises what the answers of the server stand for. Writing is not tried: that would leave something there."""
    for path in ("/v1/capabilities", "/v1/uploads?limit=1"):
        answer = await session.request("GET", known.upload_base_url + path)
        if answer.status != 200:
            raise _failure(known.where, answer.status)
        if path == "/v1/capabilities":
            try:
                limits_of(answer.json())
            except ValueError:
                raise Incompatible(f"{known.where} does not speak the upload contract clu-1.") from None


def _failure(where: str, status: int) -> BridgeError:
    if status == 401:
        return Unauthorised(f"{where} does not accept the sign-in.", next_step="Ask its operator for another token.")
    if status == 403:
        return Forbidden(f"{where} does not let this sign-in read uploads.", next_step="Ask for `uploads:read`.")
    if status == 429 or status >= 500:
        return Transient(f"{where} cannot be reached for now (HTTP {status}).")
    return Incompatible(f"{where} does not speak the upload contract clu-1 (HTTP {status}).")
