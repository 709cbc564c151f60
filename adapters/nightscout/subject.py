"""Makes the least-privilege token of a site with its API_SECRET, which is hashed, used and forgotten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from adapters.nightscout.client import SiteClient, listed, not_itself, parsed
from adapters.nightscout.permissions import ROLE
from bridge.errors import Forbidden, Incompatible, Refused

SUBJECT = "glucobridge"
_ROLE_NAME = "glucobridge"
_NOTES = "Made by glucobridge. Delete the subject of this name to take its access away."
_ROLES, _SUBJECTS = "/api/v2/authorization/roles", "/api/v2/authorization/subjects"


async def token_by_secret(client: SiteClient, secret: str, subject: str) -> str:
    """The access token of a subject that may do no more than a bridge needs; role and subject are made or set right.

    Raises Refused for a wrong secret, after one try.
    """
    admin = _Admin(client, secret)
    await _ensure_role(admin)
    return await _ensure_subject(admin, subject)


class _Admin:
    """Calls that carry the hash of the secret in the header, and nothing else of it."""

    def __init__(self, client: SiteClient, secret: str) -> None:
        self._client = client
        self._header = ("api-secret", hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest())

    async def all(self, path: str) -> list[dict[str, Any]]:
        answer = await self._client.request("GET", path, header=self._header)
        if answer.status in (401, 403):
            raise Refused(
                "The site refused this API_SECRET or token.",
                next_step="Check it, wait ten seconds (the site delays everybody after a wrong one), then try again.",
            )
        return listed(answer)

    async def write(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self._client.request(method, path, body=json.dumps(body).encode(), header=self._header)
        if answer.status in (401, 403):
            raise Forbidden("This credential may not make a token.", next_step="Give the API_SECRET of the site.")
        if answer.status != 200:
            raise not_itself(answer)
        return parsed(answer)


async def _ensure_role(admin: _Admin) -> None:
    """Names are not unique: look first, change what is there."""
    wanted = list(ROLE)
    found = [one for one in await admin.all(_ROLES) if one.get("name") == _ROLE_NAME and "_id" in one]
    if not found:
        await admin.write("POST", _ROLES, {"name": _ROLE_NAME, "permissions": wanted, "notes": _NOTES})
    elif found[0].get("permissions") != wanted:
        await admin.write("PUT", _ROLES, {**found[0], "permissions": wanted})


async def _ensure_subject(admin: _Admin, name: str) -> str:
    found = _named(await admin.all(_SUBJECTS), name)
    if found is None:
        await admin.write("POST", _SUBJECTS, {"name": name, "roles": [_ROLE_NAME], "notes": _NOTES})
        # The answer to the insert has no token: only the list has.
        found = _named(await admin.all(_SUBJECTS), name)
    elif found.get("roles") != [_ROLE_NAME]:
        kept = {key: value for key, value in found.items() if key in ("_id", "name", "notes")}
        await admin.write("PUT", _SUBJECTS, {**kept, "roles": [_ROLE_NAME]})
    token = found.get("accessToken") if found else None
    if not isinstance(token, str) or not token:
        raise Incompatible("The site gives no access tokens.", next_step="Set API_SECRET on the site.")
    return token


def _named(subjects: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((one for one in subjects if one.get("name") == name), None)
