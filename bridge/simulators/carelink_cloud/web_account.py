"""Who is signed in, and whom they may follow: the app's account API and its web twins."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from aiohttp import web

from bridge.simulators.carelink_cloud.cloud import Cloud
from bridge.simulators.carelink_cloud.people import DEVICE_FAMILY, Account


def add_account_routes(app: web.Application, cloud: Cloud) -> None:
    """Routes about the account itself."""
    api = _AccountApi(cloud)
    for path in ("/api/carepartner/v2/users/me", "/patient/users/me"):
        app.router.add_get(path, api.me)
    for path in ("/api/carepartner/v2/links/patients", "/patient/m2m/links/patients"):
        app.router.add_get(path, api.links)
    app.router.add_get("/patient/users/me/profile", api.profile)
    app.router.add_get("/userinfo", api.userinfo)


def signed_in(cloud: Cloud, request: web.Request) -> Account:
    """The account of the bearer token. Raises HTTPUnauthorized."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    username = cloud.tokens.account_of(token) if scheme == "Bearer" else None
    if username is None or username not in cloud.accounts:
        raise web.HTTPUnauthorized(text='{"message":"Unauthorized"}', content_type="application/json")
    return cloud.accounts[username]


class _AccountApi:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def me(self, request: web.Request) -> web.Response:
        return web.json_response(self._me(signed_in(self.cloud, request)))

    async def profile(self, request: web.Request) -> web.Response:
        account = signed_in(self.cloud, request)
        told = {"username": account.username, "firstName": "Test", "lastName": "Person", "country": account.country,
                "email": f"{account.username}@example.org", "dateOfBirth": "1980-01-01"}  # fmt: skip
        return web.json_response(told)

    async def userinfo(self, request: web.Request) -> web.Response:
        account = signed_in(self.cloud, request)
        told = {"sub": f"auth0|{account.username}", "preferred_username": account.username}
        return web.json_response(told)

    async def links(self, request: web.Request) -> web.Response:
        account = signed_in(self.cloud, request)
        return web.json_response([self._link(link.username, link.status) for link in account.links])

    def _me(self, account: Account) -> dict[str, Any]:
        """As the cloud tells it: a patient's own username is not in here, a carer's is."""
        told: dict[str, Any] = {
            "loginDateUTC": self.cloud.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "id": str(uuid5(NAMESPACE_DNS, account.username)), "country": account.country, "language": "en",
            "lastName": "Carer" if account.carer else "Patient", "firstName": "Test",
            "accountId": 1_000_000 + len(account.username), "role": account.role, "cpRegistrationStatus": None,
            "accountSuspended": None, "needToReconsent": account.needs_reconsent, "mfaRequired": False,
            "mfaEnabled": False,
        }  # fmt: skip
        return told | ({"username": account.username} if account.carer else {})

    def _link(self, username: str, status: str) -> dict[str, Any]:
        person = self.cloud.people.get(username)
        return {
            "firstName": person.first_name if person else "Test",
            "lastName": person.last_name if person else "Nobody",
            "nickname": "", "username": username, "status": status, "notificationsAllowed": status == "ACTIVE",
            "lastDeviceFamily": DEVICE_FAMILY[person.family] if person else "NONE", "patientUsesConnect": True,
        }  # fmt: skip
