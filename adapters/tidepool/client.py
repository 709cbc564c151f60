"""Tidepool's HTTP interface over an authorised session: requests, renewal, and errors by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from adapters.tidepool.settings import TidepoolSettings
from bridge.contracts import Answer, Session
from bridge.errors import BridgeError, Forbidden, Incompatible, Moved, Refused, Throttled, Transient, Unauthorised

SESSION_HEADER = "X-Tidepool-Session-Token"
LINK_AGAIN = "Sign in again with `glucobridge link tidepool`."
_POST_TIMEOUT_S = 75.0
"""The service itself gives up after 60 s."""
_READ_LIMIT_BYTES = 64 * 1024 * 1024
_ISSUERS = {
    "api.tidepool.org": "https://auth.tidepool.org/realms/tidepool",
    "app.tidepool.org": "https://auth.tidepool.org/realms/tidepool",
    "int-api.tidepool.org": "https://auth.integration.tidepool.org/realms/integration",
    "external.integration.tidepool.org": "https://auth.integration.tidepool.org/realms/integration",
}
"""Sign-in addresses of known environments, for when the API does not say."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The sign-in service's addresses."""

    authorization_url: str
    token_url: str
    revocation_url: str | None = None


async def discover(session: Session, settings: TidepoolSettings) -> Provider:
    """Find the sign-in service. Raises Incompatible when what answers is no such service."""
    issuer = settings.issuer or await _issuer(session, settings.api_url)
    answer = await session.request("GET", f"{issuer}/.well-known/openid-configuration", authorise=False)
    found = _object(_checked(answer))
    try:
        revocation = found.get("revocation_endpoint")
        return Provider(str(found["authorization_endpoint"]), str(found["token_endpoint"]), revocation)
    except KeyError as error:
        raise _strange(f"The sign-in service names no {error.args[0]}.") from error


async def _issuer(session: Session, api_url: str) -> str:
    answer = await session.request("GET", f"{api_url}/info", authorise=False)
    known = _ISSUERS.get(urlsplit(api_url).hostname or "")
    if answer.status == 404 and known is not None:
        return known
    match _object(_checked(answer)).get("auth"):
        case {"url": str(url), "realm": str(realm)}:
            return f"{url.rstrip('/')}/realms/{realm}"
    if known is None:
        raise _strange(f"{api_url} does not say where to sign in.")
    return known


def _strange(message: str) -> Incompatible:
    return Incompatible(message, next_step="Check api_url in the settings.")


def _object(answer: Answer) -> dict[str, Any]:
    found = _json(answer)
    if not isinstance(found, dict):
        raise _strange("Tidepool answered in a shape that is not understood.")
    return found


def _list(answer: Answer) -> list[Any]:
    found = _json(answer)
    if not isinstance(found, list):
        raise _strange("Tidepool answered in a shape that is not understood.")
    return found


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise _strange("Tidepool answered something that is not JSON.") from error


def _checked(answer: Answer) -> Answer:
    if answer.status >= 500:
        raise Transient(f"Tidepool has an error of its own (HTTP {answer.status}).")
    if answer.status >= 400:
        raise Refused(f"Tidepool refused a request (HTTP {answer.status}, {code_of(answer)}).")
    return answer


def code_of(answer: Answer) -> str:
    """The error code of an answer, `unknown` when it carries none."""
    errors = errors_of(answer)
    return str(errors[0].get("code", "unknown")) if errors else "unknown"


def errors_of(answer: Answer) -> list[dict[str, Any]]:
    """The error objects of an answer, of whichever of its three shapes; empty when it is none of them."""
    try:
        found = answer.json()
    except ValueError:
        return []
    errors = found.get("errors", [found]) if isinstance(found, dict) else []
    return [error for error in errors if isinstance(error, dict) and "code" in error]


class TidepoolClient:
    """Requests of one linked account. A 401 is answered by one renewal and one repetition."""

    def __init__(self, session: Session, settings: TidepoolSettings) -> None:
        self._session, self._settings = session, settings

    async def user(self) -> dict[str, Any]:
        """The account: `userid`, `username`, `roles`."""
        return _object(_checked(await self._ask("GET", "/auth/user")))

    async def sharing(self, user_id: str) -> list[dict[str, Any]]:
        """Those who share with this account, with `trustorPermissions`."""
        answer = await self._ask("GET", f"/metadata/users/{user_id}/users")
        return [each for each in _list(_checked(answer)) if isinstance(each, dict)]

    async def data_sets(self, user_id: str, client_name: str) -> list[dict[str, Any]]:
        """Data sets of that client name, newest first."""
        params = {"client.name": client_name, "size": "100"}
        answer = await self._ask("GET", f"/v1/users/{user_id}/data_sets", params=params)
        return [each for each in _list(_checked(answer)) if isinstance(each, dict)]

    async def create_data_set(self, user_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The new data set as stored."""
        answer = _checked(await self._ask("POST", f"/v1/users/{user_id}/data_sets", json=body))
        created = _object(answer).get("data")
        if not isinstance(created, dict) or not isinstance(created.get("uploadId"), str):
            raise _strange("Tidepool made a data set without an id.")
        return created

    async def post(self, path: str, batch: bytes) -> Answer:
        """Post an encoded batch. Any status but 401, 403, 429 and gateway errors is returned as it is."""
        headers = {"Content-Type": "application/json"}
        return await self._ask("POST", path, data=batch, headers=headers, timeout_s=_POST_TIMEOUT_S)

    async def delete(self, path: str, keys: Sequence[str]) -> Answer:
        """Delete by origin id; unknown ones are ignored there. Statuses as in `post`."""
        selectors = [{"origin": {"id": key}} for key in keys]
        return await self._ask("DELETE", path, json=selectors, timeout_s=_POST_TIMEOUT_S)

    async def data(self, user_id: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """Documents of a person by the read-back's parameters."""
        answer = await self._ask("GET", f"/data/{user_id}", params=params, timeout_s=120.0)
        return [each for each in _list(_checked(answer)) if isinstance(each, dict)]

    async def _ask(self, method: str, path: str, **how: Any) -> Answer:
        url = self._settings.api_url + path
        answer = await self._session.request(method, url, limit_bytes=_READ_LIMIT_BYTES, **how)
        if answer.status == 401:
            await self._renew()
            answer = await self._session.request(method, url, limit_bytes=_READ_LIMIT_BYTES, **how)
        _raise_for(answer)
        return answer

    async def _renew(self) -> None:
        try:
            await self._session.renew()
        except Moved:
            provider = await discover(self._session, self._settings)
            await self._session.renew(client_id=self._settings.client_id, token_url=provider.token_url)
        except Unauthorised as error:
            raise Unauthorised(error.message, next_step=LINK_AGAIN, state=error.state) from error


def _raise_for(answer: Answer) -> None:
    if answer.status == 401:
        raise Unauthorised("Tidepool no longer accepts the sign-in.", next_step=LINK_AGAIN)
    if answer.status == 403:
        raise no_right()
    if answer.status == 429:
        raise Throttled("Tidepool asks for patience.", retry_after_s=_retry_after(answer))
    if answer.status in (502, 503, 504):
        raise Transient(f"Tidepool cannot be reached for now (HTTP {answer.status}).")


def _retry_after(answer: Answer) -> float | None:
    """Seconds, also where the server names an instant: its own clock is in the same answer."""
    text = answer.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        until, now = (parsedate_to_datetime(each) for each in (text, answer.headers.get("date", "")))
    except (ValueError, TypeError):
        return None
    return max(0.0, (until - now).total_seconds())


def no_right() -> BridgeError:
    """The account may not write this person's data."""
    return Forbidden(
        "Tidepool does not let this account upload data for this person.",
        next_step="Ask them to give it the upload permission in Tidepool (Share Data), or link their own account.",
    )
