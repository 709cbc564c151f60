"""The four seams: `Reader`, `Journal`, `Adapter` (with `Linking` and `Session`), `Transport` comes with the uploader.

Data flows one way: reader -> model -> journal -> adapters. The engine alone knows them all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from bridge.model.capture import Capture
from bridge.model.health import Health
from bridge.model.records import Record
from bridge.model.time import from_ms, iso_ms, parse_instant, to_ms

# --- set-up ----------------------------------------------------------------------------------------


class Clock(Protocol):
    """Injected time. `now` is UTC and may jump; `monotonic` never goes back and is what deadlines use."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What a reader or adapter class is constructed with: `ReaderClass(setup)`.

    `settings` is the plug-in's own table of the settings file, already checked against its `Settings`
    model; `session` is None where no network is allowed (`decode`, `map`); `timezone` is the person's IANA zone.
    """

    profile: str
    settings: Mapping[str, Any]
    clock: Clock
    random: Random
    session: Session | None = None
    timezone: str | None = None
    installation: str = ""
    """Short id of this installation, from the settings file (names what is ours at a destination)."""


class PlugIn(Protocol):
    """What an entry point names: a class with these attributes whose instances are a Reader or an Adapter."""

    name: str
    Settings: ClassVar[type[BaseModel]]
    linking: ClassVar[Linking]


# --- readers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sighting:
    """How a row was first seen: its UTC and source key, which it keeps for ever."""

    time: datetime
    source_key: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What a reader recalls of earlier reads. Lives in the journal, comes back at the next start.

    `sightings`: first-seen rows of the last 36 h by the reader's own row key; `state`: small JSON.
    """

    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One line about something not fully understood: `code` stable, `text` for a person, no secrets."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a capture says. `sightings` are the newly seen rows, `state` replaces the reader's state.

    `understood` is False when the raw bytes deserve keeping (unknown marker, refused row).
    """

    records: Sequence[Record]
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Sequence[Diagnostic] = ()
    health: Health = field(default_factory=Health)
    understood: bool = True


@dataclass(frozen=True, slots=True)
class Interval:
    """Time that a read covered, inclusive start, exclusive end, UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """One read's yield, appended in one transaction. `decoded` is None when nothing could be decoded.

    `next_due` is when the source deserves the next read (UTC). `capture` is None when nothing was read.
    """

    profile: str
    reader: str
    next_due: datetime
    health: Health
    decoded: Decoded | None = None
    capture: Capture | None = None
    covered: Interval | None = None


class Reader(Protocol):
    """A source. `decode` is pure; `read` does one pass of I/O and ends."""

    name: str
    file_feed: str
    """The device_or_feed part of the identity for a file decoded without an account or device."""

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a capture. Raises Malformed for what is not this reader's; never another type."""
        ...

    def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass over the source. Outages end as a Batch with a health state, not as an exception.

        Asking for the next item (or the end) tells the reader that the previous batch is durable.
        """
        ...


# --- documents and adapters ------------------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """One desired document at a destination.

    `slot_group`: documents of one group may not share an instant; a later one moves on by 1 ms through
    the body fields named in `moves` (epoch ms or ISO text). `books`: further keys stored with it
    (an embedded bolus). `rank` orders collections.
    """

    key: str
    record_id: str
    op: str
    path: str
    body: Mapping[str, Any]
    instant_ms: int
    rank: int = 0
    slot_group: str | None = None
    moves: tuple[str, ...] = ()
    books: tuple[str, ...] = ()

    @cached_property
    def encoded(self) -> bytes:
        """The JSON as sent."""
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def content_hash(self) -> str:
        """Hash of the document as sent, 32 hex digits, independent of field order."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def slot(self, step_ms: int = 0) -> str | None:
        """The place this document takes at the destination, moved by `step_ms`; None when any place is fine."""
        return None if self.slot_group is None else f"{self.slot_group}|{self.instant_ms + step_ms}"

    def moved(self, step_ms: int) -> Document:
        """The same document `step_ms` later."""
        if not step_ms:
            return self
        shifted = {name: _later(self.body[name], step_ms) for name in self.moves}
        return replace(self, body={**self.body, **shifted}, instant_ms=self.instant_ms + step_ms)


def _later(value: Any, step_ms: int) -> Any:
    if isinstance(value, int):
        return value + step_ms
    return iso_ms(from_ms(to_ms(parse_instant(value)) + step_ms))


@dataclass(frozen=True, slots=True)
class Fate:
    """How one record ends at one destination: exactly one of the three is set."""

    documents: int = 0
    carried_by: str | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """What a set of records becomes: unstepped documents by key, and the fate of every record."""

    documents: Mapping[str, Document]
    fates: Mapping[str, Fate]


class Verdict(StrEnum):
    """What came of one post or delete."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict with the destination's own words; `RETRY` means nothing is known to be stored."""

    verdict: Verdict
    reason: str = ""
    server_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One document found at a destination. `record_id` when its key names one; `kind` and `value`
    (mg/dL, U, g) when the document shows them; enough to recognise a record after a lost journal."""

    key: str
    path: str
    record_id: str | None = None
    kind: str | None = None
    time: datetime | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a destination holds of ours in a window; `foreign` counts documents of others."""

    items: Sequence[StoredItem]
    foreign: int = 0


class Adapter(Protocol):
    """A destination. `desired` is pure; the rest is I/O through the session it was handed."""

    name: str
    batch: int
    """How many documents `deliver` wants at once; may change as the site's speed is learnt."""
    state: dict[str, Any]
    """Small JSON remembered across restarts (data set id, chosen route). The engine sets it before the first
    `prepare` and stores it after every call that changed it. A crash may lose the newest change: it is a cache."""

    def desired(self, records: Iterable[Record]) -> Desired:
        """Documents of a set of records by this adapter's settings; same set in any order, same bytes."""
        ...

    async def prepare(self) -> Health:
        """Probe and remember what the destination is (version, rights, data set); cheap when fresh."""
        ...

    async def deliver(self, posts: Sequence[Document], deletes: Sequence[LedgerDocument]) -> Sequence[Outcome]:
        """Send in the destination's own order. Outcomes: posts first, then deletes, same length and order.

        Raises (Transient, Throttled, Unauthorised, Forbidden, Incompatible) only when no outcome is known
        for any of them; otherwise what was not confirmed is `RETRY`.
        """
        ...

    async def stored(self, window: Interval) -> Inventory:
        """Read back what the destination holds of ours."""
        ...


# --- linking and sessions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A question to a person. `secret` answers are never shown, logged or stored."""

    key: str
    prompt: str
    secret: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    """Answer -> label. Empty: free text. `many`: several answers, separated by commas, or `all`."""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Authorise:
    """An OAuth code flow that `credentials` walks (PKCE S256, state, paste-back or loop-back redirect).

    When it is through, `begin` is called again with the key `authorised` in `answers` and a session that
    carries the fresh token. `hosts` are those the token may reach.
    """

    client_id: str
    authorization_url: str
    token_url: str
    redirect_uri: str
    scope: str
    hosts: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    """Further query parameters of the authorize address (`audience`, `prompt`)."""
    revocation_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    header: str = "Authorization"
    refresh_margin_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    """A credential found without a code flow (token file, one-time secret). `begin` is called again with
    `authorised` in `answers` and a session that carries it."""

    credential: Credential
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OAuthToken:
    """A rotating grant and all that refreshing it needs. Lives in the vault only."""

    client_id: str
    token_url: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: float
    """Epoch seconds."""
    scope: str = ""
    revocation_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    header: str = "Authorization"
    """Header that carries the access token (`Authorization` gets the Bearer scheme, others the bare token)."""
    refresh_margin_s: float = 60.0
    """The session refreshes by itself when less than this remains."""
    obtained_at: float = 0.0
    refreshed_at: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A long-lived token, sent in one header (Nightscout access token: `api-secret`)."""

    token: str = field(repr=False)
    header: str
    obtained_at: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)


Credential = OAuthToken | StaticToken


@dataclass(frozen=True, slots=True)
class Grant:
    """The end of linking: what was obtained or held goes into the vault with these hosts and scopes.

    `hosts` are `host` or `host:port`; a leading dot allows a domain and all below it (`.minimed.eu`).
    `settings` go to the profile's settings file (site URL, patient); `others` are the settings of further
    people the same credential serves, each to become a profile of its own: display name -> settings.
    """

    hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    settings: Mapping[str, Any]
    summary: str
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole within the session's limits."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes
    url: str = ""

    def json(self) -> Any:
        """Parsed body. Raises ValueError when it is not JSON."""
        return json.loads(self.body)


class Session(Protocol):
    """HTTP limited to one credential and its hosts. Never shows the credential.

    Raises Transient on connect errors, time-outs and cut answers; NotAllowed for another host;
    Unauthorised when there is no usable credential. Any HTTP status is returned as an Answer.
    """

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
        """One request. `authorise=False` sends no credential. `{token}` in `url` is replaced by the static
        token inside the session (only for the exchange that needs it in the path)."""
        ...

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh the credential once, after a 401. `client_id`, `token_url`: the provider moved, use these.

        Raises Unauthorised when only a person can help, Moved when the provider no longer knows the client or
        the address (discover again, then renew with what was found), Transient or Throttled on an outage.
        """
        ...


class Linking(Protocol):
    """How a person grants access: the faces walk these steps; `credentials` keeps the result.

    Stateless: every call gets all answers so far by step key.
    """

    name: str
    scopes: tuple[str, ...]
    """What it asks for, as a person may read it."""

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        """The next step, or the grant. `settings` are the plug-in's current ones (a simulator's addresses, a
        client id). `session` has no credential before `authorised` is in `answers`; until then it reaches any
        https host and loop-back. Raises Refused for an answer that does not fit, saying what to do next."""
        ...

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        """Dry run of the rights with the granted credential."""
        ...

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        """Revoke at the provider beyond the OAuth revocation that `credentials` does itself; one sentence on what
        happened and what is left for the person to do. Empty when there is nothing to say."""
        ...


# --- journal ---------------------------------------------------------------------------------------


class Sealer(Protocol):
    """Encrypts what the journal keeps at rest, with the vault's key. `purpose` is bound to the bytes."""

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Ciphertext with its own nonce."""
        ...

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes. Raises VaultLocked when key or purpose do not fit."""
        ...


class DeliveryState(StrEnum):
    """Where one record stands at one destination."""

    PENDING = "pending"
    LEASED = "leased"
    WITHHELD = "withheld"
    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    NOT_APPLICABLE = "not_applicable"
    REMOVED_THERE = "removed_there"


@dataclass(frozen=True, slots=True)
class Destination:
    """One ledger: a profile's destination, by the name in the settings."""

    profile: str
    name: str


@dataclass(frozen=True, slots=True)
class LedgerDocument:
    """A document as confirmed by a destination. `slot` is the place it took, with its step."""

    key: str
    record_id: str
    content_hash: str
    path: str
    instant_ms: int
    slot: str | None = None
    server_id: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A leased delivery. `attempts` counts earlier ones."""

    record: Record
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """New state of one delivery. `PENDING` hands it back, not before `not_before`."""

    state: DeliveryState
    reason: str = ""
    not_before: datetime | None = None
    revision: int = 0
    """The revision that was delivered; a newer one in the journal stays pending."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """All that one delivery round changes, in one transaction."""

    deliveries: Mapping[str, Settled] = field(default_factory=dict)
    documents: Sequence[LedgerDocument] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append changed: ids of new and revised records; the rest was known."""

    new: Sequence[str]
    revised: Sequence[str]
    known: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A delivery a person must look at."""

    destination: Destination
    record: Record
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """Last known state of a profile's reader."""

    profile: str
    reader: str
    health: Health
    last_read: datetime | None
    last_record: datetime | None
    next_due: datetime | None
    gaps: Sequence[Interval] = ()


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """Counts of one ledger. `last_accepted` is the newest record time settled there."""

    destination: Destination
    counts: Mapping[DeliveryState, int]
    health: Health
    last_accepted: datetime | None
    oldest_pending: datetime | None


class Journal(Protocol):
    """The durable middle. Every method is one short transaction; deadlines are the caller's.

    A record's id and time are given at first sight and never change; later sightings are matched
    (docs/model.md) and kept as aliases. Appending the same batch twice changes nothing.
    """

    async def close(self) -> None:
        """Close; further calls fail."""
        ...

    async def register(self, destinations: Iterable[Destination]) -> None:
        """Make these the ledgers records fan out to. New ones get all existing records of the profile as pending."""
        ...

    async def memory(self, profile: str, reader: str) -> Memory:
        """What the reader recalls: sightings of the last 36 h and its state."""
        ...

    async def append(self, batch: Batch) -> Appended:
        """Records, their pending deliveries, sightings, state, coverage, health and capture, in one transaction."""
        ...

    async def adopt(self, profile: str, items: Sequence[StoredItem]) -> None:
        """Identifiers found at a destination: a new record that matches one takes its record id and time."""
        ...

    async def due(self, destination: Destination, now: datetime, limit: int, lease_s: float) -> Sequence[Due]:
        """Lease pending deliveries: records of the last 15 min newest first, then oldest first."""
        ...

    async def context(self, profile: str, records: Sequence[Record]) -> Sequence[Record]:
        """The records that mapping these may need (docs/mapping.md): 26 h around them, links both ways, previous and
        next basal of each device, the newest record. Highest revisions, links rewritten through aliases."""
        ...

    async def ledger(self, destination: Destination, record_ids: Iterable[str]) -> Sequence[LedgerDocument]:
        """Ledger documents of these records."""
        ...

    async def states(self, destination: Destination, record_ids: Iterable[str]) -> Mapping[str, DeliveryState]:
        """Where these records stand at one destination; unknown ids are left out."""
        ...

    async def slots(self, destination: Destination, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots are taken, by which document key."""
        ...

    async def newest_accepted(self, destination: Destination, kind: str) -> Record | None:
        """The newest record of a kind that has a document in this ledger."""
        ...

    async def settle(self, destination: Destination, settlement: Settlement) -> None:
        """Book one round. A delivery whose record has a higher revision than settled stays pending."""
        ...

    async def release(self, destination: Destination) -> int:
        """Hand back all leases of a dead or stopping deliverer; how many."""
        ...

    async def report(self, destination: Destination, health: Health, state: Mapping[str, Any] | None = None) -> None:
        """Keep a destination's health for `status`, and its adapter's `state` unless None."""
        ...

    async def recall(self, destination: Destination) -> Mapping[str, Any]:
        """The adapter's `state` as last reported; empty at first."""
        ...

    async def version(self) -> int:
        """Changes whenever another process has written: the engine asks once a second and wakes what waits."""
        ...

    async def quarantine(self, profile: str | None = None) -> Sequence[Quarantined]:
        """What is in quarantine."""
        ...

    async def requeue(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """Make settled deliveries pending again (quarantine retry, repair); how many."""
        ...

    async def drop(self, destination: Destination, record_ids: Iterable[str]) -> int:
        """A person gives quarantined deliveries up: settled as not applicable; how many."""
        ...

    async def inventory(self, destination: Destination, window: Interval) -> Sequence[LedgerDocument]:
        """The ledger's documents in a window: the other half of a reconcile."""
        ...

    def records(
        self, profile: str, window: Interval | None = None, kinds: Iterable[str] = ()
    ) -> AsyncIterator[Record]:
        """Records by time, highest revision."""
        ...

    async def aliases(self, profile: str) -> Mapping[str, str]:
        """Alias id -> record id."""
        ...

    async def captures(self, profile: str, reader: str | None = None) -> Sequence[Capture]:
        """Kept captures, newest first."""
        ...

    async def missing(self, profile: str, reader: str, window: Interval) -> Sequence[Interval]:
        """Holes of the coverage ledger in a window."""
        ...

    async def readers(self) -> Sequence[ReaderStatus]:
        """State of every reader seen."""
        ...

    async def destinations(self) -> Sequence[DestinationStatus]:
        """State and counts of every ledger."""
        ...

    async def compact(self, now: datetime) -> int:
        """Expire captures and old sightings; how many rows went."""
        ...
