"""What one delivery round may send, by its pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.contracts import DeliveryState, Desired, Document, Fate, LedgerDocument, Outcome, Verdict
from bridge.engine.planning import affected, make_plan, settlement, statuses_in_line, stepped
from bridge.model import Basal, Bolus, Carbs, Device, PumpStatus, Record

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DEVICE = Device(manufacturer="M", model="X", serial="S1", family="NGP")
ACCEPTED = Outcome(Verdict.ACCEPTED)


def _envelope(name: str, minutes: float = 0) -> dict[str, object]:
    return {
        "id": name, "time": NOON + timedelta(minutes=minutes), "device_time": None, "utc_offset_min": None,
        "profile": "p1", "device": DEVICE, "reader": "carelink-cloud", "source_key": name,
    }  # fmt: skip


def _carbs(name: str, minutes: float = 0) -> Carbs:
    return Carbs.model_validate({**_envelope(name, minutes), "grams": 20})


def _status(name: str, minutes: float) -> PumpStatus:
    return PumpStatus.model_validate(_envelope(name, minutes))


def _document(key: str, record: str | None = None, **more: object) -> Document:
    made: dict[str, object] = {
        "op": "post", "path": "/t", "body": {"identifier": key, "date": 1000}, "instant_ms": 1000, "moves": ("date",),
    }  # fmt: skip
    return Document(key=key, record_id=record or key, **{**made, **more})  # type: ignore[arg-type]


def _booked(document: Document) -> LedgerDocument:
    return LedgerDocument(document.key, document.record_id, document.content_hash, document.path, document.instant_ms)


def _desired(*documents: Document, **skipped: str) -> Desired:
    fates = {doc.record_id: Fate(documents=1) for doc in documents}
    fates |= {record: Fate(skipped=reason) for record, reason in skipped.items()}
    return Desired({doc.key: doc for doc in documents}, fates)


def test_only_what_differs_from_the_ledger_is_posted() -> None:
    same, new = _document("a"), _document("b")
    plan = make_plan(_desired(same, new), {"a": 1, "b": 1}, {"a": 1, "b": 1}, {}, [_booked(same)], set())
    assert [doc.key for doc in plan.posts] == ["b"]
    assert plan.unchanged == {"a"}
    booked = settlement(plan, plan.posts, [ACCEPTED], set())
    assert {record: settled.state for record, settled in booked.deliveries.items()} == {
        "a": DeliveryState.ACCEPTED, "b": DeliveryState.ACCEPTED,
    }  # fmt: skip


def test_a_document_no_longer_desired_is_deleted() -> None:
    old = _document("carbs")
    desired = Desired({"bolus": _document("bolus")}, {"bolus": Fate(1), "carbs": Fate(carried_by="bolus")})
    plan = make_plan(
        desired, {"bolus": 1, "carbs": 1}, {"bolus": 1}, {"carbs": DeliveryState.ACCEPTED}, [_booked(old)], set()
    )
    assert [entry.key for entry in plan.deletes] == ["carbs"]
    assert [doc.key for doc in plan.posts] == ["bolus"]


def test_a_status_is_never_deleted_and_an_embedded_key_is_desired() -> None:
    status, embedded = _document("status"), _document("bolus", "b")
    wizard = _document("wizard", "w", books=("bolus",))
    desired = Desired(
        {"wizard": wizard}, {"w": Fate(1), "b": Fate(carried_by="w"), "status": Fate(skipped="thinned")}
    )
    touched = {"w": 1, "b": 1, "status": 1}
    plan = make_plan(desired, touched, {"w": 1}, {}, [_booked(status), _booked(embedded)], {"status"})
    assert not plan.deletes


def test_what_a_person_deleted_is_not_sent_again_when_a_neighbour_changes_it() -> None:
    gone, due = _document("gone"), _document("due")
    states = {"gone": DeliveryState.REMOVED_THERE, "due": DeliveryState.LEASED}
    plan = make_plan(_desired(gone, due), {"gone": 1, "due": 1}, {"due": 1}, states, [], set())
    assert [doc.key for doc in plan.posts] == ["due"]


def test_a_neighbour_waits_for_its_own_turn_unless_it_was_settled() -> None:
    waiting, settled = _document("waiting"), _document("settled")
    states = {"waiting": DeliveryState.PENDING, "settled": DeliveryState.NOT_APPLICABLE, "due": DeliveryState.LEASED}
    desired = _desired(waiting, settled, _document("due"))
    plan = make_plan(desired, {"waiting": 1, "settled": 1, "due": 1}, {"due": 1}, states, [], set())
    assert {doc.key for doc in plan.posts} == {"settled", "due"}


def test_retry_keeps_the_delivery_pending_and_books_nothing() -> None:
    plan = make_plan(_desired(_document("a")), {"a": 3}, {"a": 3}, {}, [], set())
    booked = settlement(plan, plan.posts, [Outcome(Verdict.RETRY)], set())
    assert booked.deliveries["a"].state is DeliveryState.PENDING
    assert not booked.documents


def test_one_quarantined_document_quarantines_its_record_alone() -> None:
    plan = make_plan(_desired(_document("a"), _document("b")), {"a": 1, "b": 1}, {"a": 1, "b": 1}, {}, [], set())
    by_key = {"a": Outcome(Verdict.QUARANTINED, "no"), "b": ACCEPTED}
    booked = settlement(plan, plan.posts, [by_key[doc.key] for doc in plan.posts], set())
    assert booked.deliveries["a"].state is DeliveryState.QUARANTINED
    assert booked.deliveries["a"].reason == "no"
    assert booked.deliveries["b"].state is DeliveryState.ACCEPTED


def test_skipped_records_settle_with_their_reason() -> None:
    plan = make_plan(_desired(x="thinned", y="control_solution"), {"x": 1, "y": 1}, {"x": 1, "y": 1}, {}, [], set())
    booked = settlement(plan, [], [], set())
    assert booked.deliveries["x"].state is DeliveryState.SUPERSEDED
    assert booked.deliveries["y"].state is DeliveryState.NOT_APPLICABLE
    assert booked.deliveries["y"].reason == "control_solution"


def test_a_delete_not_confirmed_keeps_its_record_pending() -> None:
    old = _document("x")
    plan = make_plan(_desired(x="cancelled_bolus"), {"x": 2}, {"x": 2}, {}, [_booked(old)], set())
    booked = settlement(plan, [], [Outcome(Verdict.RETRY)], set())
    assert booked.deliveries["x"].state is DeliveryState.PENDING
    assert not booked.removed


def test_two_documents_of_one_instant_stand_apart_and_keep_their_steps() -> None:
    twins = [_document("b", slot_group="g"), _document("a", slot_group="g")]
    first, waiting = stepped(twins, {}, {})
    second, none = stepped(waiting, {}, {"g|1000": "a"})
    assert [(doc.key, doc.instant_ms, doc.body["date"]) for doc in first + second] == [
        ("a", 1000, 1000),
        ("b", 1001, 1001),
    ]
    assert not none
    ledger = {doc.key: _booked(doc) for doc in first + second}
    late = _document("0", slot_group="g")
    again, moved = stepped([late, *twins], ledger, {"g|1000": "a", "g|1001": "b"})
    assert {doc.key: doc.instant_ms for doc in again} == {"a": 1000, "b": 1001}
    assert [doc.key for doc in moved] == ["0"]


def test_a_status_older_than_the_newest_sent_is_overtaken() -> None:
    newest, old, young = _status("newest", 10), _status("old", 5), _status("young", 20)
    kept, overtaken = statuses_in_line([newest, old, young, _carbs("c")], {"old": 1, "young": 1}, newest)
    assert overtaken == {"old"}
    assert {record.id for record in kept} == {"newest", "young", "c"}


def test_links_and_basal_neighbours_are_touched_wherever_they_are() -> None:
    far = 60 * 20
    carbs = _carbs("carbs", far)
    bolus = Bolus.model_validate({**_envelope("bolus"), "delivered_u": 1, "carbs_id": "carbs"})
    line: list[Record] = [
        Basal.model_validate(
            {**_envelope(f"b{i}", i * 600), "delivery": "scheduled", "rate_u_h": 1, "duration_min": d}
        )
        for i, d in ((-1, 600), (0, 600), (1, None))
    ]
    touched = affected([carbs, bolus, *line], {"bolus": 1, "b0": 1})
    assert touched == {"carbs", "bolus", "b-1", "b0", "b1"}


def test_an_embedded_document_is_booked_and_goes_when_its_carrier_goes() -> None:
    wizard = _document("w:wizard", "w", books=("b:bolus",))
    desired = Desired({wizard.key: wizard}, {"w": Fate(1), "b": Fate(carried_by="w")})
    plan = make_plan(desired, {"w": 1, "b": 1}, {"w": 1, "b": 1}, {}, [], set())
    booked = settlement(plan, plan.posts, [ACCEPTED], set())
    assert [(entry.key, entry.record_id) for entry in booked.documents] == [("w:wizard", "w"), ("b:bolus", "b")]
    cancelled = Desired({}, {"w": Fate(skipped="calculation_without_bolus"), "b": Fate(skipped="cancelled_bolus")})
    states = dict.fromkeys("wb", DeliveryState.ACCEPTED)
    after = make_plan(cancelled, {"w": 1, "b": 2}, {"b": 2}, states, booked.documents, set())
    assert {entry.key for entry in after.deletes} == {"w:wizard", "b:bolus"}
