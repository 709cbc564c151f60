"""A small CareLink of our own for these tests: scripted answers, and a list of what was asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.contracts import Answer, Batch, Decoded, Interval, Memory, Setup
from bridge.errors import Malformed, Moved, Throttled, Transient, Unauthorised
from bridge.model.capture import Capture
from bridge.model.time import from_ms, to_ms
from bridge.readers.carelink_cloud import CareLinkCloudReader
from tests.support.clock import FakeClock
from tests.support.session import PlainSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DISCOVER = "/connect/carepartner/v13/discover/android"
SSO = "/configs/sso.json"
ME = "/api/carepartner/v2/users/me"
PROFILE = "/patient/users/me/profile"
LINKS = "/api/carepartner/v2/links/patients"
MESSAGE = "/connect/carepartner/v13/display/message"
GUARDIAN = "/patient/connect/data"
GUARDIAN_CARER = "/patient/m2m/connect/data/gc/patients/patient1"
MONITOR = "/patient/monitor/data"
TOKEN = "/oauth/token"
USERINFO = "/userinfo"

START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Scripted:
    """One answer of the fake."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    json: Any
    headers: Mapping[str, str]


class FakeCareLink:
    """Answers by path: the script's answers in turn, the last one for ever; 404 for what is not scripted."""

    def __init__(self) -> None:
        self.script: dict[str, list[Scripted]] = {}
        self.asked: list[Asked] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.read()
        content = json.loads(text) if request.content_type == "application/json" and text else text.decode()
        self.asked.append(Asked(request.method, request.raw_path.split("?")[0], content, dict(request.headers)))
        answers = self.script.get(request.raw_path.split("?")[0], [Scripted(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(status=answer.status, body=answer.raw, headers=dict(answer.headers))

    def on(self, path: str, *answers: Scripted) -> None:
        self.script[path] = list(answers)

    def paths(self, *known: str) -> list[str]:
        """Paths asked for, in order; with `known` only those."""
        return [asked.path for asked in self.asked if not known or asked.path in known]

    def last(self, path: str) -> Asked:
        return [asked for asked in self.asked if asked.path == path][-1]

    def discovery(self, **changes: Any) -> dict[str, Any]:
        """A good discovery document that names this server."""
        entry = {
            "region": "EU",
            "UseSSOConfiguration": "Auth0SSOConfiguration",
            "Auth0SSOConfiguration": self.base + SSO,
            "baseUrlCareLink": f"{self.base}/api/carepartner/v2",
            "baseUrlCumulus": f"{self.base}/connect/carepartner/v13",
        }
        return {"CP": [{**entry, **changes}]}

    def sso(self, **client: Any) -> dict[str, Any]:
        """A good sign-in configuration that names this server."""
        host, _, port = self.base.removeprefix("http://").partition(":")
        return {
            "server": {"hostname": host, "port": int(port), "prefix": ""},
            "client": {
                "client_id": "client-1",
                "scope": "profile openid offline_access",
                "audience": "carepartner.patient.ous",
                "redirect_uri": "com.medtronic.carepartner:/sso",
                **client,
            },
            "system_endpoints": {
                "authorization_endpoint_path": "/authorize",
                "token_endpoint_path": TOKEN,
                "token_revocation_endpoint_path": "/oauth/revoke",
            },
            "oauth_protected_endpoints": {"userinfo_endpoint_path": USERINFO},
        }

    def good(self) -> None:
        """Script everything that a working account needs."""
        for version in ("3.8", "3.7", "3.6"):
            self.on(f"{DISCOVER}/{version}", Scripted(body=self.discovery()))
        self.on(SSO, Scripted(body=self.sso()))
        self.on(ME, Scripted(body={"username": "carer", "role": "CARE_PARTNER_OUS", "country": "GB"}))
        self.on(LINKS, Scripted(body=[{"username": "patient1", "firstName": "Test", "status": "ACTIVE"}]))
        self.on(MESSAGE, Scripted(body=upload(START)))


@asynccontextmanager
async def running() -> AsyncIterator[tuple[FakeCareLink, aiohttp.ClientSession]]:
    """A fake on loop-back with a client for it."""
    fake = FakeCareLink()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as client:
        fake.base = str(server.make_url("")).rstrip("/")
        fake.good()
        yield fake, client


def upload(server_now: datetime, updated_at: datetime | None = None) -> dict[str, Any]:
    """The least answer that holds an upload."""
    stamp = to_ms(updated_at or server_now)
    patient = {"currentServerTime": to_ms(server_now), "lastMedicalDeviceDataUpdateServerTime": stamp, "sgs": []}
    return {"metadata": {}, "patientData": patient}


class Tokens(PlainSession):
    """A session whose `renew` asks the fake's token endpoint and speaks the contract's errors."""

    def __init__(self, client: aiohttp.ClientSession, base: str, *tokens: str) -> None:
        super().__init__(client, "Authorization", *tokens)
        self.base = base
        self.renewals: list[tuple[str | None, str | None]] = []
        self.outcomes: list[Exception | None] = []
        """What the next renewals raise; None: it works. When empty, the fake's token endpoint decides."""

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        """As the plain session, but with the whole body of an answer that comes in pieces."""
        headers = dict(more.get("headers") or {})
        if more.get("authorise", True) and self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens[0]}"
        async with self.client.request(
            method, url, json=more.get("json"), data=more.get("data"), headers=headers, allow_redirects=False
        ) as answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lower, await answer.read(), url)

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        self.renewals.append((client_id, token_url))
        if self.outcomes:
            outcome = self.outcomes.pop(0)
            if outcome is not None:
                raise outcome
        elif await self._refused():
            return
        self.tokens.append(f"fresh-{len(self.renewals)}")
        self.tokens.pop(0)

    async def _refused(self) -> bool:
        answer = await self.request("POST", self.base + TOKEN, data={"grant_type": "refresh_token"}, authorise=False)
        if answer.status == 200:
            return False
        if answer.status == 429:
            raise Throttled("The sign-in asks for patience.")
        if answer.status >= 500:
            raise Transient("The sign-in does not work just now.")
        if answer.json()["error"] == "invalid_client":
            raise Moved("The sign-in does not know our client.")
        raise Unauthorised("The sign-in has ended.")


def account(base: str, **changes: Any) -> dict[str, Any]:
    """Settings of a carer's account at the fake."""
    return {
        "region": "EU", "username": "carer", "role": "carepartner", "patient": "patient1",
        "discovery_url": base + DISCOVER, **changes,
    }  # fmt: skip


@dataclass
class Bench:
    """A reader at a fake CareLink, with a clock that is told the time."""

    fake: FakeCareLink
    client: aiohttp.ClientSession
    clock: FakeClock
    session: Tokens
    reader: CareLinkCloudReader
    memory: Memory = field(default_factory=Memory)

    async def read(self, after_s: float = 0.0) -> Batch:
        """One pass, `after_s` later; what the batch says to remember is remembered."""
        self.clock.advance(after_s)
        batches = [batch async for batch in self.reader.read(self.memory, None)]
        assert len(batches) == 1
        if batches[0].decoded is not None:
            state = json.loads(json.dumps(dict(batches[0].decoded.state)))
            self.memory = Memory(state=state)
        return batches[0]

    def restart(self, **settings: Any) -> None:
        """The program starts anew with the same memory."""
        self.reader = reader_at(self.fake, self.clock, self.session, **settings)

    def due_in_s(self, batch: Batch) -> float:
        return (batch.next_due - self.clock.now()).total_seconds()


def reader_at(fake: FakeCareLink, clock: FakeClock, session: Tokens, **settings: Any) -> CareLinkCloudReader:
    table = {key: value for key, value in account(fake.base, **settings).items() if value is not None}
    return CareLinkCloudReader(Setup("p1", table, clock, Random(7), session))


@dataclass(frozen=True)
class StubAnswer:
    """The shape of the decoder's word on one answer."""

    decoded: Decoded
    server_now: datetime | None
    updated_at: datetime | None
    covered: Interval | None


def _stub_read(capture: Capture, memory: Memory) -> StubAnswer:
    try:
        document = json.loads(capture.body)
        patient = document.get("patientData", document)
        server_now, updated = (
            patient.get(key) for key in ("currentServerTime", "lastMedicalDeviceDataUpdateServerTime")
        )
    except (ValueError, AttributeError, RecursionError):
        raise Malformed("That is not an answer of CareLink.") from None
    return StubAnswer(
        Decoded(records=(), state={"stub": 1}),
        None if server_now is None else from_ms(server_now),
        None if updated is None else from_ms(updated),
        None if updated is None else Interval(from_ms(updated - 86_400_000), from_ms(updated)),
    )


def use_stub_decoder(patch: pytest.MonkeyPatch) -> None:
    """Put a decoder that only knows the two server stamps in the place of the real one."""
    decoding, privacy = ModuleType("decode"), ModuleType("privacy")
    decoding.__dict__.update(read_answer=_stub_read, decode=lambda c, m: _stub_read(c, m).decoded)
    privacy.__dict__["redact"] = lambda body: body.replace(b"Secret Name", b"")
    patch.setitem(sys.modules, "bridge.readers.carelink_cloud.decode", decoding)
    patch.setitem(sys.modules, "bridge.readers.carelink_cloud.privacy", privacy)


def bodies(asked: Sequence[Asked], path: str) -> list[Any]:
    return [one.json for one in asked if one.path == path]
