"""What one delivery round sends: desired minus ledger, ledger minus desired. Pure.

A round is given the leased records, their surroundings, what the ledger holds of them and where each
stands. Only documents whose whole surroundings are known may be posted or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.contracts import (
    DeliveryState,
    Desired,
    Document,
    Fate,
    LedgerDocument,
    Outcome,
    Settled,
    Settlement,
    Verdict,
)
from bridge.model.records import Basal, Bolus, BolusCalculation, PumpStatus, Record

INNER = timedelta(minutes=190)
"""Documents of records this near to a leased one may change with it (the longest rule reaches 180 min)."""
SETTLED = frozenset({DeliveryState.ACCEPTED, DeliveryState.NOT_APPLICABLE, DeliveryState.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one round. `posts` are stepped; `fates` are those of the affected records."""

    posts: Sequence[Document] = ()
    deletes: Sequence[LedgerDocument] = ()
    unchanged: frozenset[str] = frozenset()
    """Keys that the destination already holds as desired."""
    fates: Mapping[str, Fate] = field(default_factory=dict)
    due: Mapping[str, int] = field(default_factory=dict)
    """Leased record id -> its revision."""
    revisions: Mapping[str, int] = field(default_factory=dict)
    """Revision of every affected record as mapped."""
    by_record: Mapping[str, Sequence[str]] = field(default_factory=dict)


def statuses_in_line(
    records: Iterable[Record], due: Mapping[str, int], newest: Record | None
) -> tuple[list[Record], set[str]]:
    """The records without statuses that this round may not speak of, and the leased statuses overtaken by `newest`.

    A status older than the newest one sent is not sent; the newest one sent stays, so that thinning goes on from it.
    """
    kept: list[Record] = []
    overtaken: set[str] = set()
    for record in records:
        if not isinstance(record, PumpStatus):
            kept.append(record)
        elif newest is not None and record.id == newest.id:
            continue
        elif record.id in due and newest is not None and record.time <= newest.time:
            overtaken.add(record.id)
        elif record.id in due:
            kept.append(record)
    return ([*kept, newest] if newest is not None else kept), overtaken


def affected(context: Sequence[Record], due: Mapping[str, int]) -> set[str]:
    """Ids of the records whose documents this round may touch."""
    leased = [record for record in context if record.id in due]
    spans = _spans(record for record in leased)
    near = {r.id for r in context if not isinstance(r, PumpStatus) and any(a <= r.time <= b for a, b in spans)}
    return near | set(due) | _linked(context, due) | _basal_neighbours(context, due)


def _spans(records: Iterable[Record]) -> list[tuple[datetime, datetime]]:
    """Merged windows of +-INNER around the records."""
    merged: list[list[datetime]] = []
    for time in sorted(record.time for record in records):
        if merged and time - INNER <= merged[-1][1]:
            merged[-1][1] = time + INNER
        else:
            merged.append([time - INNER, time + INNER])
    return [(a, b) for a, b in merged]


def _links(record: Record) -> set[str]:
    if isinstance(record, Bolus):
        return {link for link in (record.carbs_id, record.calculation_id) if link}
    return {record.bolus_id} if isinstance(record, BolusCalculation) and record.bolus_id else set()


def _linked(context: Sequence[Record], due: Mapping[str, int]) -> set[str]:
    pairs = [(record.id, link) for record in context for link in _links(record)]
    near = set(due)
    for _ in range(2):  # carbs -> bolus -> calculation is the longest chain
        near |= {b for a, b in pairs if a in near} | {a for a, b in pairs if b in near}
    return near


def _basal_neighbours(context: Sequence[Record], due: Mapping[str, int]) -> set[str]:
    """Previous and next basal of each leased one, and the open segment that grows with every record."""
    found: set[str] = set()
    lines: dict[str, list[Basal]] = {}
    for record in context:
        if isinstance(record, Basal):
            lines.setdefault(record.device.serial or record.device.family or "", []).append(record)
    for line in lines.values():
        line.sort(key=lambda basal: (basal.time, basal.id))
        for index, basal in enumerate(line):
            if basal.id in due:
                found |= {near.id for near in line[max(0, index - 1) : index + 2]}
        if line[-1].duration_min is None:
            found.add(line[-1].id)
    return found


def make_plan(
    desired: Desired,
    touched: Mapping[str, int],
    due: Mapping[str, int],
    states: Mapping[str, DeliveryState],
    ledger: Sequence[LedgerDocument],
    statuses: set[str],
) -> Plan:
    """Posts (unstepped) and deletes.

    `touched`: affected records with their revisions; `statuses`: ids whose documents are never deleted.
    """
    known = {entry.key: entry for entry in ledger}
    fates = {record: fate for record, fate in desired.fates.items() if record in touched}
    allowed = _allowed(fates, due, states)
    wanted = {key: doc for key, doc in desired.documents.items() if doc.record_id in touched}
    posts, unchanged = [], set()
    for key, doc in wanted.items():
        entry = known.get(key)
        if entry is not None and _as_stored(doc, entry).content_hash == entry.content_hash:
            unchanged.add(key)
        elif doc.record_id in allowed:
            posts.append(doc)
    booked = {key for doc in desired.documents.values() for key in doc.books}
    deletes = [
        entry
        for key, entry in known.items()
        if entry.record_id in touched
        and key not in desired.documents
        and key not in booked
        and entry.record_id not in statuses
        and entry.record_id in fates
        and states.get(entry.record_id) is not DeliveryState.REMOVED_THERE
    ]
    by_record: dict[str, list[str]] = {}
    for key, doc in wanted.items():
        by_record.setdefault(doc.record_id, []).append(key)
    return Plan(posts, deletes, frozenset(unchanged), fates, due, touched, by_record)


def _allowed(fates: Mapping[str, Fate], due: Mapping[str, int], states: Mapping[str, DeliveryState]) -> set[str]:
    """Records that may be posted: leased, settled earlier, or carrying a leased one."""
    carriers = {fate.carried_by for record, fate in fates.items() if record in due and fate.carried_by}
    free = {record for record in fates if states.get(record) in SETTLED}
    blocked = {record for record, state in states.items() if state is DeliveryState.REMOVED_THERE}
    pending = {record for record in carriers if states.get(record) is not DeliveryState.QUARANTINED}
    return (set(due) | free | {record for record in pending if record is not None}) - blocked


def _as_stored(doc: Document, entry: LedgerDocument) -> Document:
    """The document on the instant that its key has at the destination."""
    return doc if doc.slot_group is None else doc.moved(entry.instant_ms - doc.instant_ms)


def stepped(
    posts: Sequence[Document], ledger: Mapping[str, LedgerDocument], taken: Mapping[str, str]
) -> tuple[list[Document], list[Document]]:
    """Posts on free slots by what is known of `taken` (slot -> key), and those that need a later slot looked up.

    A key keeps the step it has in the ledger; a new one takes the next free one, by (instant, record id, key).
    """
    placed: list[Document] = []
    unplaced: list[Document] = []
    claimed = dict(taken)
    for doc in sorted(posts, key=lambda d: (d.key not in ledger, d.instant_ms, d.record_id, d.key)):
        entry = ledger.get(doc.key)
        moved = _as_stored(doc, entry) if entry is not None else doc
        slot = moved.slot()
        if slot is None or claimed.setdefault(slot, doc.key) == doc.key:
            placed.append(moved)
        else:
            unplaced.append(moved.moved(1))
    return placed, unplaced


def settlement(plan: Plan, posts: Sequence[Document], outcomes: Sequence[Outcome], overtaken: set[str]) -> Settlement:
    """What the round's outcomes book. Raises nothing; `outcomes` are posts first, then deletes."""
    by_key = {doc.key: outcome for doc, outcome in zip(posts, outcomes, strict=False)}
    accepted = [doc for doc in posts if by_key[doc.key].verdict is Verdict.ACCEPTED]
    documents = [_booked(doc, by_key[doc.key].server_id) for doc in accepted]
    documents += [entry for doc in accepted if doc.books for entry in _embedded(doc, plan.fates)]
    removed = [
        entry.key
        for entry, outcome in zip(plan.deletes, outcomes[len(posts) :], strict=False)
        if outcome.verdict is Verdict.ACCEPTED
    ]
    ends = _Ends(plan, by_key, {e.record_id for e in plan.deletes if e.key not in removed})
    deliveries = {
        record: Settled(DeliveryState.SUPERSEDED, "overtaken", revision=plan.due[record]) for record in overtaken
    }
    for record, revision in plan.due.items():
        if record not in deliveries:
            state, reason = ends.of(record)
            deliveries[record] = Settled(state, reason, revision=revision)
    for record in {doc.record_id for doc in posts} | {entry.record_id for entry in plan.deletes}:
        state, reason = ends.of(record)
        if record not in plan.due and state is not DeliveryState.PENDING:
            deliveries[record] = Settled(state, reason, revision=plan.revisions[record])
    return Settlement(deliveries, documents, removed)


def _booked(doc: Document, server_id: str | None) -> LedgerDocument:
    return LedgerDocument(doc.key, doc.record_id, doc.content_hash, doc.path, doc.instant_ms, doc.slot(), server_id)


def _embedded(doc: Document, fates: Mapping[str, Fate]) -> Iterator[LedgerDocument]:
    """Lines for documents stored with this one; without a hash, so that one posted alone later is sent."""
    carried = [record for record, fate in fates.items() if fate.carried_by == doc.record_id]
    for key in doc.books:
        record = next((record for record in carried if key.startswith(record)), doc.record_id)
        yield LedgerDocument(key, record, "", doc.path, doc.instant_ms)


@dataclass(frozen=True, slots=True)
class _Ends:
    plan: Plan
    outcomes: Mapping[str, Outcome]
    undeleted: set[str]

    def of(self, record: str) -> tuple[DeliveryState, str]:
        """State of a record after the round, with the destination's words."""
        fate = self.plan.fates.get(record)
        if fate is None or record in self.undeleted:
            return DeliveryState.PENDING, ""
        if fate.carried_by is not None:
            return self.of(fate.carried_by) if fate.carried_by != record else (DeliveryState.PENDING, "")
        if fate.skipped is not None:
            state = DeliveryState.SUPERSEDED if fate.skipped == "thinned" else DeliveryState.NOT_APPLICABLE
            return state, fate.skipped
        return self._documents(record)

    def _documents(self, record: str) -> tuple[DeliveryState, str]:
        verdicts = []
        for key in self.plan.by_record.get(record, ()):
            outcome = self.outcomes.get(key)
            if outcome is not None:
                verdicts.append((outcome.verdict, outcome.reason))
            elif key not in self.plan.unchanged:
                verdicts.append((Verdict.RETRY, ""))
        for verdict, state in (
            (Verdict.RETRY, DeliveryState.PENDING),
            (Verdict.QUARANTINED, DeliveryState.QUARANTINED),
        ):
            for found, reason in verdicts:
                if found is verdict:
                    return state, reason
        return DeliveryState.ACCEPTED, ""
