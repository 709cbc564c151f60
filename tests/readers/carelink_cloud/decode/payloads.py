"""A small pump, phone and cloud of the tests' own: true instants go in, an answer's JSON comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.contracts import Decoded, Memory
from bridge.model import Capture, Record
from bridge.readers.carelink_cloud.decode import CloudAnswer, read_answer

START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEP = timedelta(minutes=5)
TAKEN = datetime(2026, 6, 1, tzinfo=UTC)


def ms(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def wall_text(at: datetime, offset: timedelta) -> str:
    return (at.replace(tzinfo=None, microsecond=0) + offset).isoformat()


def capture(document: Any, feed: str = "carelink") -> Capture:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Capture("default", "carelink-cloud", feed, TAKEN, body)


def answer_of(document: Any, memory: Memory | None = None) -> CloudAnswer:
    return read_answer(capture(document), memory or Memory())


def decoded_of(document: Any, memory: Memory | None = None) -> Decoded:
    return answer_of(document, memory).decoded


def after(memory: Memory, decoded: Decoded) -> Memory:
    """What the journal would hand out next: first sightings win, the state is replaced."""
    return Memory({**decoded.sightings, **memory.sightings}, decoded.state)


def of_kind(records: Iterable[Record], kind: str) -> list[Any]:
    return [record for record in records if record.kind == kind]


def sg(wall: str, value: object = 120, **more: Any) -> dict[str, Any]:
    return {"kind": "SG", "version": 1, "sg": value, "sensorState": "NO_ERROR_MESSAGE", "timestamp": wall, **more}


def marker(kind: str, wall: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": wall, "displayTime": wall, "data": {"dataValues": values}}


def bolus(wall: str, units: float = 2.0, activation: str = "MANUAL", **more: Any) -> dict[str, Any]:
    values = {
        "programmedFastAmount": str(units), "deliveredFastAmount": str(units), "activationType": activation,
        "completed": True, "bolusType": "FAST",
    }  # fmt: skip
    return marker("INSULIN", wall, **{**values, **more})


def dose(wall: str, units: float = 0.1) -> dict[str, Any]:
    return marker("AUTO_BASAL_DELIVERY", wall, bolusAmount=str(units))


def meal(wall: str, grams: float = 40.0) -> dict[str, Any]:
    return marker("MEAL", wall, amount=grams)


def alert(guid: str | None, wall: str, fault: str = "802", kind: str = "ALARM", **more: Any) -> dict[str, Any]:
    row = {"faultId": fault, "type": kind, "dateTime": wall, "triggeredDateTime": wall}
    return {**row, **({"referenceGUID": guid} if guid else {}), **more}


def payload(
    now: datetime = START,
    *,
    offset: timedelta = timedelta(hours=1),
    phone: timedelta | None = None,
    updated: datetime | None = None,
    sgs: Sequence[Any] = (),
    markers: Sequence[Any] = (),
    active: Sequence[Any] = (),
    cleared: Sequence[Any] = (),
    **more: Any,
) -> dict[str, Any]:
    """An answer of a 780G at `now`; `offset` is the pump's clock minus UTC, `phone` the phone's (as the pump's)."""
    updated = now - timedelta(seconds=40) if updated is None else updated
    phone = offset if phone is None else phone
    patient = {
        "medicalDeviceFamily": "NGP",
        "medicalDeviceInformation": {"modelNumber": "MMT-1886", "deviceSerialNumber": "X1"},
        "currentServerTime": ms(now),
        "medicalDeviceTime": ms(now + offset),
        "lastMedicalDeviceDataUpdateServerTime": ms(updated),
        "lastConduitUpdateServerDateTime": ms(updated),
        "lastConduitDateTime": wall_text(updated, phone),
        "pumpCommunicationState": True,
        "sgs": list(sgs),
        "markers": list(markers),
        "notificationHistory": {"activeNotifications": list(active), "clearedNotifications": list(cleared)},
    }  # fmt: skip
    return {"metadata": {}, "patientData": {**patient, **more}}


@dataclass
class World:
    """A person with a pump and a phone, living in true time.

    `pump` and `phone` give their clock minus UTC at an instant. Every reading and dose has the stamp that the
    pump's clock showed when it happened, as the cloud lists it afterwards.
    """

    pump: Callable[[datetime], timedelta]
    phone: Callable[[datetime], timedelta]
    window: timedelta = timedelta(hours=6)
    start: datetime = START
    changes: Sequence[datetime] = ()
    readings: list[datetime] = field(default_factory=list)
    doses: list[datetime] = field(default_factory=list)

    def live(self, until: datetime) -> None:
        """Readings every five minutes, a micro-dose one minute after each."""
        at = self.readings[-1] + STEP if self.readings else self.start
        while at <= until:
            self.readings.append(at)
            if at + MINUTE <= until:
                self.doses.append(at + MINUTE)
            at += STEP

    def answer(self, now: datetime) -> dict[str, Any]:
        """The cloud's answer at `now` for what happened until a minute before."""
        seen = now - timedelta(seconds=30)
        recent = [at for at in self.readings if now - self.window <= at <= seen]
        doses = [at for at in self.doses if now - self.window <= at <= seen]
        changes = [at for at in self.changes if now - self.window <= at <= seen]
        markers = [dose(wall_text(at, self.pump(at)), units(at)) for at in doses]
        markers += [marker("TIME_CHANGE", wall_text(at, self.pump(at))) for at in changes]
        return payload(
            now,
            offset=self.pump(now),
            phone=self.phone(now),
            sgs=[sg(wall_text(at, self.pump(at)), glucose(at)) for at in recent],
            markers=markers,
        )


def glucose(at: datetime) -> int:
    """A value that names its instant, so that a test can tell readings apart."""
    return 60 + (ms(at) // 300_000) * 37 % 300


def units(at: datetime) -> float:
    return (ms(at) // 300_000 % 8) * 0.025


def constant(offset: timedelta) -> Callable[[datetime], timedelta]:
    return lambda at: offset


def changing(before: timedelta, at: datetime, then: timedelta) -> Callable[[datetime], timedelta]:
    return lambda when: before if when < at else then


class Follower:
    """Polls a world and carries the memory; remembers what every record id said about its time."""

    def __init__(self, world: World) -> None:
        self.world, self.memory = world, Memory()
        self.times: dict[str, datetime] = {}
        self.records: dict[str, Record] = {}
        self.last: Decoded | None = None

    def poll(self, now: datetime) -> Decoded:
        decoded = decoded_of(self.world.answer(now), self.memory)
        for record in decoded.records:
            assert self.times.setdefault(record.id, record.time) == record.time, "a first time was changed"
            self.records[record.id] = record
        self.memory, self.last = after(self.memory, decoded), decoded
        return decoded

    def of(self, kind: str) -> list[Any]:
        return sorted(of_kind(self.records.values(), kind), key=lambda record: record.time)

    def check(self, until: datetime, within: timedelta = timedelta(seconds=1)) -> None:
        """Every reading and dose until then exactly once, and where it truly was."""
        truths = {"sensor_glucose": self.world.readings, "basal": self.world.doses}
        for kind, truth in truths.items():
            expected = [at for at in truth if at <= until]
            found = self.of(kind)[: len(expected)]
            assert len(found) == len(expected), (kind, len(found), len(expected))
            for record, at in zip(found, expected, strict=True):
                assert abs(record.time - at) <= within, (kind, record.time, at)
                value = record.mgdl if kind == "sensor_glucose" else record.dose_u
                assert abs(value - (glucose(at) if kind == "sensor_glucose" else units(at))) < 0.001, (kind, at)
