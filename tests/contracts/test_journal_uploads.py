"""The upload queue of every journal."""

from __future__ import annotations

from dataclasses import replace

from bridge.contracts import (
    DeviceRef,
    Interval,
    Journal,
    Level,
    Sent,
    TransportResult,
    Trigger,
    TypeCheck,
    UploadRecord,
    UploadRequest,
    UploadState,
    Verification,
)
from tests.contracts.journal_records import at
from tests.contracts.test_journal import clock, journal, opener  # noqa: F401 - fixtures


def upload(name: str = "u1", minutes: float = 0, profile: str = "p1", **more: object) -> UploadRecord:
    device = DeviceRef("pump", "MiniMed 640G", "NG1234567H")
    asked = UploadRequest(name, profile, device, Trigger.SCHEDULE, Interval(at(-60), at()), at(minutes))
    return UploadRecord(asked, UploadState.QUEUED, **more)  # type: ignore[arg-type]


async def test_an_upload_comes_back_as_it_was_noted(journal: Journal) -> None:  # noqa: F811
    checked = Verification(
        Level.PARTIAL, at(5), {"bolus": TypeCheck(3, 2, [at(-9)], [Interval(at(-10), at(-8))])}, ["by the export"]
    )
    whole = upload(
        attempts=2, not_before=at(9), transport=TransportResult(Sent.ACCEPTED, "r1", "taken"), verification=checked,
        changed_at=at(6),
    )  # fmt: skip
    await journal.note_upload(whole)
    (found,) = await journal.uploads("p1")
    assert found == replace(whole, verification=found.verification)
    assert found.verification is not None
    assert found.verification.level is Level.PARTIAL
    assert list(found.verification.per_type["bolus"].missing) == [at(-9)]
    assert list(found.verification.evidence) == ["by the export"]


async def test_the_same_request_noted_again_is_one_upload(journal: Journal) -> None:  # noqa: F811
    await journal.note_upload(upload())
    await journal.note_upload(replace(upload(), state=UploadState.VERIFIED))
    assert [each.state for each in await journal.uploads()] == [UploadState.VERIFIED]


async def test_uploads_are_told_by_person_and_state_newest_first(journal: Journal) -> None:  # noqa: F811
    await journal.note_upload(upload("a", 1))
    await journal.note_upload(replace(upload("b", 2), state=UploadState.FAILED))
    await journal.note_upload(upload("c", 3))
    await journal.note_upload(upload("a", 4, profile="p2"))
    assert [each.request.id for each in await journal.uploads("p1")] == ["c", "b", "a"]
    assert [each.request.id for each in await journal.uploads("p1", [UploadState.QUEUED])] == ["c", "a"]
    assert [each.request.id for each in await journal.uploads("p1", limit=1)] == ["c"]
    assert len(await journal.uploads()) == 4
    assert await journal.uploads("nobody") == []
