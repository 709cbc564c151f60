"""A simulated site on loop-back, a session with the least-privilege token, and the adapter over both."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest

from adapters.nightscout import NightscoutAdapter
from adapters.nightscout.permissions import ROLE
from adapters.stepping import stepped
from bridge.contracts import Answer, Document, Interval, LedgerDocument, Outcome, Setup, Verdict
from bridge.errors import Transient
from bridge.model import Record, from_json, from_ms
from bridge.simulators.nightscout import NightscoutSim, SimSettings
from bridge.simulators.serving import serve
from tests.support import vectors
from tests.support.clock import FakeClock
from tests.support.session import PlainSession

SECRET = "a-secret-made-up-for-tests"
AFTER_VECTORS = datetime(2026, 3, 10, 23, 5, tzinfo=UTC)
PATIENTLY = 3


class Sent(NamedTuple):
    """One request as the adapter made it."""

    method: str
    url: str
    params: Any
    data: Any
    timeout_s: float

    @property
    def documents(self) -> list[Any]:
        """What its body holds."""
        found = json.loads(self.data) if self.data else []
        return found if isinstance(found, list) else [found]


class LoopSession(PlainSession):
    """Reads answers whole and keeps what was asked."""

    asked: list[tuple[str, str]]

    def __init__(self, client: aiohttp.ClientSession, token: str) -> None:
        super().__init__(client, "api-secret", token)
        self.asked = []
        self.sent_headers: list[Mapping[str, str]] = []
        self.sent: list[Sent] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorise: bool = True,
        timeout_s: float = 30.0,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer:
        sent = dict(headers or {})
        if authorise and self.tokens:
            sent[self.header] = self.tokens[0]
        self.asked.append((method, url))
        self.sent_headers.append(sent)
        self.sent.append(Sent(method, url, params, data, timeout_s))
        real = url.replace("{token}", self.tokens[0] if self.tokens else "")
        try:
            async with self.client.request(
                method, real, params=params, json=json, data=data, headers=sent,
                timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False,
            ) as answer:  # fmt: skip
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, lower, await answer.read(), url)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"{type(error).__name__} while asking {url.split('?')[0]}.") from error

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        raise AssertionError("a long-lived token is not renewed")


class Rig:
    """One site, one session, one adapter."""

    def __init__(self, sim: NightscoutSim, base: str, client: aiohttp.ClientSession, clock: FakeClock) -> None:
        self.sim, self.base, self.client, self.clock = sim, base, client, clock
        self.session = LoopSession(client, sim.add_subject("glucobridge", ROLE))

    def adapter(self, **settings: Any) -> NightscoutAdapter:
        own = {"url": self.base, **settings}
        return NightscoutAdapter(Setup("p1", own, self.clock, random.Random(1), self.session))

    def stored(self, name: str) -> list[dict[str, Any]]:
        return list(self.sim.collections[name])

    def counts(self) -> dict[str, int]:
        names = ("entries", "treatments", "devicestatus", "profile")
        return {name: len(self.sim.collections[name]) for name in names}

    def asked(self, part: str, method: str = "") -> int:
        """How many requests went to such a path."""
        return sum(part in path and method in ("", how) for how, path, _ in self.sim.log)

    def posts(self, part: str) -> list[int]:
        """Statuses of the POSTs to a collection, in order; 0 where the connection was cut."""
        return [status for method, path, status in self.sim.log if method == "POST" and part in path]

    async def settled(
        self, adapter: NightscoutAdapter, posts: Sequence[Document], deletes: Sequence[LedgerDocument] = ()
    ) -> list[Outcome]:
        """Deliver until nothing is to be retried, as the engine would."""
        for _ in range(PATIENTLY):
            outcomes = list(await adapter.deliver(posts, deletes))
            if all(one.verdict is not Verdict.RETRY for one in outcomes):
                return outcomes
        raise AssertionError("it never settles")


@asynccontextmanager
async def rig_of(clock: FakeClock, prefix: str = "", **settings: Any) -> AsyncIterator[Rig]:
    settings.setdefault("default_roles", ())
    sim = NightscoutSim(SECRET, clock, SimSettings(**settings))
    app = sim.app()
    if prefix:
        outer = aiohttp.web.Application(client_max_size=0)
        outer.add_subapp(prefix, app)
        app = outer
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(serve(app))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Rig(sim, base + prefix, client, clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AFTER_VECTORS)


@pytest.fixture
async def rig(clock: FakeClock) -> AsyncIterator[Rig]:
    async with rig_of(clock) as rig:
        yield rig


@pytest.fixture
async def ready(rig: Rig) -> NightscoutAdapter:
    adapter = rig.adapter()
    await adapter.prepare()
    return adapter


def made_documents() -> tuple[list[Record], list[Document]]:
    """Records of every kind and variant, and their documents, stepped."""
    records = [from_json(line) for line in vectors.path("mapping", "records.ndjson").read_text("utf-8").splitlines()]
    adapter = NightscoutAdapter(Setup("p1", {}, FakeClock(AFTER_VECTORS), random.Random(1)))
    return records, stepped(adapter.desired(records).documents.values())


def entry(n: int, **body: Any) -> Document:
    """The n-th of a row of readings, five minutes apart, that ends before the vectors do."""
    key = f"0000{n:04x}-0000-5000-8000-000000000000"
    at = from_ms(1_773_000_000_000 + n * 300_000)
    whole = {
        "type": "sgv", "sgv": 100 + n % 50, "noise": 1, "date": 1_773_000_000_000 + n * 300_000,
        "dateString": f"{at:%Y-%m-%dT%H:%M:%S}.000Z", "device": "carelink://NGP", "identifier": key, **body,
    }  # fmt: skip
    return Document(key, key, "post", "/api/v1/entries.json", whole, whole["date"])


def note(n: int, event: str = "Note", **body: Any) -> Document:
    """The n-th of a row of treatments."""
    key = f"1111{n:04x}-0000-5000-8000-000000000000"
    at_ms = 1_773_000_000_000 + n * 60_000
    whole = {
        "eventType": event, "created_at": f"{from_ms(at_ms):%Y-%m-%dT%H:%M:%S}.000Z", "identifier": key,
        "syncIdentifier": key, "enteredBy": "openaps://glucobridge", "device": "carelink://NGP", **body,
    }  # fmt: skip
    return Document(key, key, "post", "/api/v1/treatments.json", whole, at_ms, rank=1)


def status(n: int) -> Document:
    """The n-th of a row of statuses."""
    key = f"2222{n:04x}-0000-5000-8000-000000000000"
    at_ms = 1_773_000_000_000 + n * 900_000
    iso = f"{from_ms(at_ms):%Y-%m-%dT%H:%M:%S}.000Z"
    body = {
        "identifier": key, "date": at_ms, "created_at": iso, "utcOffset": 0, "app": "glucobridge",
        "device": "carelink://NGP", "pump": {"clock": iso, "reservoir": 100},
    }  # fmt: skip
    return Document(key, key, "post", "/api/v3/devicestatus", body, at_ms, rank=2)


def ledger(document: Document) -> LedgerDocument:
    """The document as booked."""
    return LedgerDocument(document.key, document.record_id, document.content_hash, document.path, document.instant_ms)


def verdicts(outcomes: Sequence[Outcome]) -> list[Verdict]:
    return [one.verdict for one in outcomes]


EVERYTHING = Interval(AFTER_VECTORS - timedelta(days=5), AFTER_VECTORS + timedelta(hours=1))
