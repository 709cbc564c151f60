"""A cloud to play with, a client that signs in, and a small reader of answers that knows nothing of ours."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from bridge.simulators.carelink_cloud import CARER, THERAPY, CareLinkSim, Family, Link, Person, carer_of, own_account
from bridge.simulators.carelink_cloud.people import Account
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.serving import serve
from tests.support.clock import FakeClock

NOW = datetime(2026, 3, 10, 18, 2, 30, tzinfo=UTC)
VERIFIER = "a-verifier-that-is-long-enough-for-the-rule-0123456789"
REDIRECT = "com.medtronic.carepartner:/sso"


def person(family: Family = Family.NGP, username: str = "patient1", seed: int = 5, **more: Any) -> Person:
    patient = VirtualPatient(seed, "America/New_York", therapy=THERAPY[family], **more)
    return Person(username, patient, family)


def cloud(*people: Person, **more: Any) -> tuple[CareLinkSim, FakeClock]:
    clock = FakeClock(NOW)
    return CareLinkSim(people or (person(),), clock.now, **more), clock


class Client:
    """Calls a served cloud as one account."""

    def __init__(self, sim: CareLinkSim, base: str, http: aiohttp.ClientSession) -> None:
        self.sim, self.base, self.http = sim, base, http
        self.token = ""

    def sign_in(self, username: str) -> dict[str, Any]:
        tokens = self.sim.sign_in(username)
        self.token = tokens["access_token"]
        return tokens

    def message(
        self, patient: str | None = "patient1", base: str = "v13", **changed: Any
    ) -> aiohttp.client._RequestContextManager:
        body = {"username": CARER, "role": "carepartner", "patientId": patient, "appVersion": "3.8.0", **changed}
        sent = {name: value for name, value in body.items() if value is not None}
        return self.http.post(
            f"{self.base}/connect/carepartner/{base}/display/message", json=sent, headers=self.headers()
        )

    def get(self, path: str) -> aiohttp.client._RequestContextManager:
        return self.http.get(self.base + path, headers=self.headers(), allow_redirects=False)

    def grant(self, **form: str) -> aiohttp.client._RequestContextManager:
        return self.http.post(f"{self.base}/oauth/token", data={"client_id": "simulated-eu", **form})

    def refresh(self, token: str) -> aiohttp.client._RequestContextManager:
        return self.grant(grant_type="refresh_token", refresh_token=token)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def client_of(sim: CareLinkSim, username: str = CARER) -> AsyncIterator[Client]:
    async with serve(sim.app()) as base, aiohttp.ClientSession() as http:
        client = Client(sim, base, http)
        client.sign_in(username)
        yield client


def several() -> tuple[list[Person], list[Account]]:
    """One person of each family, an account for each, and a carer with an active and a pending link."""
    people = [person(family, f"{family.value}-user", number) for number, family in enumerate(Family)]
    carer = carer_of(people, CARER, "simulated")
    pending = Account("asked", "simulated", links=(Link("ngp-user", "PENDING"), Link("simplera-user")))
    return people, [*(own_account(one, "simulated") for one in people), carer, pending]


def challenge() -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


# --- an independent reading of nested answers -------------------------------------------------------

SINGLE = {
    "MEAL": ("carbs", "amount"), "AUTO_BASAL_DELIVERY": ("basal", "bolusAmount"),
    "BG_READING": ("meter_glucose", "unitValue"), "CALIBRATION": ("calibration", "unitValue"),
}  # fmt: skip
Said = tuple[str, datetime, float]


def facts_of(document: dict[str, Any]) -> Counter[Said]:
    """(kind, UTC, value) of a nested answer, by the pump's and the server's clock in it."""
    patient = document["patientData"]
    quarter = 15 * 60_000
    apart = patient["medicalDeviceTime"] - patient["currentServerTime"]
    offset = timedelta(milliseconds=round(apart / quarter) * quarter)
    server = datetime.fromtimestamp(patient["currentServerTime"] / 1000, UTC)
    said = ((kind, _utc(wall, offset), value) for kind, wall, value in _said(patient))
    return Counter(one for one in said if one[1] <= server)


def _utc(wall: str, offset: timedelta) -> datetime:
    return datetime.fromisoformat(wall).replace(tzinfo=UTC) - offset


def _said(patient: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    for row in patient["sgs"]:
        if row["sg"] > 0:
            yield "sensor_glucose", row["timestamp"], row["sg"]
    for marker in patient["markers"]:
        values, kind = marker["data"]["dataValues"], marker["type"]
        if "insulinUnits" in values:
            yield "injection", marker["displayTime"], float(values["insulinUnits"])
        elif kind == "INSULIN":
            parts = (float(values.get(f"delivered{part}Amount", 0)) for part in ("Fast", "Extended"))
            yield "bolus", marker["displayTime"], round(sum(parts), 3)
        elif kind in SINGLE:
            kind, name = SINGLE[kind]
            yield kind, marker["displayTime"], round(float(values[name]), 3)
    history = patient["notificationHistory"]
    for alarm in (*history["activeNotifications"], *history["clearedNotifications"]):
        yield "alarm", alarm["triggeredDateTime"], float(alarm["faultId"])
