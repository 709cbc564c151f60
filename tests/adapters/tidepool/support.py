"""A session against the simulator, documents made by hand, and a ledger that delivers as the engine does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp

from adapters.tidepool import TidepoolAdapter
from adapters.tidepool.mapping import PATH
from bridge.contracts import Answer, Document, LedgerDocument, Outcome, Setup, Verdict
from bridge.errors import BridgeError, Transient
from bridge.model import Record, from_json, iso_ms
from bridge.simulators.tidepool import TidepoolSim
from tests.support.clock import FakeClock

OWNER, CAREGIVER, VIEWER, CLINIC = "bbbbbbbbbb", "cccccccccc", "dddddddddd", "eeeeeeeeee"
START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


class SimSession:
    """A session of one account; `renew` fetches a new token, or raises what `refuses` holds."""

    def __init__(self, client: aiohttp.ClientSession, sim: TidepoolSim, user_id: str | None = OWNER) -> None:
        self.client, self.sim, self.user_id = client, sim, user_id
        self.token = None if user_id is None else sim.token(user_id)
        self.renewals: list[tuple[str | None, str | None]] = []
        self.refuses: list[BridgeError] = []

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
        if authorise and self.token is not None:
            sent["X-Tidepool-Session-Token"] = self.token
        limit = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self.client.request(
                method, url, params=params, json=json, data=data, headers=sent, timeout=limit, allow_redirects=False
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"{type(error).__name__} while asking {url.split('?')[0]}.") from error
        assert len(body) <= limit_bytes
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body, url)

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        self.renewals.append((client_id, token_url))
        if self.refuses:
            raise self.refuses.pop(0)
        self.token = self.sim.token(str(self.user_id))


def adapter_for(session: SimSession, base: str, clock: FakeClock, **settings: Any) -> TidepoolAdapter:
    """A fresh adapter, as after a restart without any memory."""
    installation = settings.pop("installation", "abc123")
    return TidepoolAdapter(
        Setup(
            profile="p1",
            settings={"api_url": base, "user_id": OWNER, **settings},
            clock=clock,
            random=Random(1),
            session=session,
            timezone="Europe/Helsinki",
            installation=installation,
        )
    )


def document(number: int, *, key: str | None = None, books: Sequence[str] = (), **body: Any) -> Document:
    """A valid `cbg` document, five minutes after the one before, changed as said."""
    time = START + timedelta(minutes=5 * number)
    key = key or f"r{number}:cbg"
    datum = {
        "type": "cbg", "time": iso_ms(time), "value": 100 + number % 80, "units": "mg/dL", "deviceId": "MMT-1884:NG1",
        "origin": {"id": key, "name": "org.glucobridge", "type": "application"}, **body,
    }  # fmt: skip
    instant = int(time.timestamp() * 1000)
    return Document(key, key.partition(":")[0], "post", PATH, datum, instant, books=tuple(books))


def documents(count: int) -> list[Document]:
    """So many valid documents."""
    return [document(number) for number in range(count)]


def to_delete(document: Document, server_id: str | None = None) -> LedgerDocument:
    """The ledger's memory of a document."""
    return LedgerDocument(
        document.key, document.record_id, document.content_hash, document.path, document.instant_ms,
        server_id=server_id,
    )  # fmt: skip


def verdicts(outcomes: Iterable[Outcome]) -> list[str]:
    """Just the verdicts."""
    return [outcome.verdict.value for outcome in outcomes]


def records(rows: Iterable[Any]) -> list[Record]:
    """Records of a vector's rows."""
    return [from_json(json.dumps(row)) for row in rows]


@dataclass
class Ledger:
    """Delivers desired minus ledger and deletes ledger minus desired, as mapping says; keeps what was confirmed."""

    documents: dict[str, LedgerDocument] = field(default_factory=dict)

    async def deliver(self, adapter: TidepoolAdapter, known: Iterable[Record], random: Random | None = None) -> int:
        """One round over everything known; how many posts and deletes it took."""
        wanted = adapter.desired(known).documents
        kept = {key for document in wanted.values() for key in (document.key, *document.books)}
        posts = [each for key, each in wanted.items() if self._hash(key) != each.content_hash]
        deletes = [each for key, each in self.documents.items() if key not in kept]
        if random is not None:
            random.shuffle(posts)
        if posts or deletes:
            outcomes = await adapter.deliver(posts, deletes)
            self._book(posts, deletes, outcomes)
        return len(posts) + len(deletes)

    def _hash(self, key: str) -> str | None:
        return self.documents[key].content_hash if key in self.documents else None

    def _book(
        self, posts: Sequence[Document], deletes: Sequence[LedgerDocument], outcomes: Sequence[Outcome]
    ) -> None:
        assert len(outcomes) == len(posts) + len(deletes)
        for post, outcome in zip(posts, outcomes[: len(posts)], strict=True):
            if outcome.verdict is Verdict.ACCEPTED:
                for key in (post.key, *post.books):
                    held = to_delete(post, outcome.server_id)
                    content = held.content_hash if key == post.key else ""
                    self.documents[key] = LedgerDocument(
                        key, held.record_id, content, held.path, held.instant_ms, server_id=held.server_id
                    )
        for delete, outcome in zip(deletes, outcomes[len(posts) :], strict=True):
            if outcome.verdict is Verdict.ACCEPTED:
                self.documents.pop(delete.key, None)


def active(sim: TidepoolSim, user_id: str = OWNER) -> dict[str, list[dict[str, Any]]]:
    """Active documents by origin id: a list longer than one is a duplicate."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in sim.documents(user_id):
        found.setdefault(each["origin"]["id"], []).append(each)
    return found


def duplicates(sim: TidepoolSim, user_id: str = OWNER) -> list[str]:
    """Origin ids with more than one active document."""
    return [key for key, each in active(sim, user_id).items() if len(each) > 1]
