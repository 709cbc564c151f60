"""Records made for tests: one by one by minute, or days of a plausible life from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from adapters.nightscout import mapping as nightscout
from adapters.tidepool import mapping as tidepool
from bridge.contracts import Desired, Document, Fate
from bridge.model import Device, Record, record_id
from bridge.model.records import RECORDS

START = datetime(2026, 3, 10, tzinfo=UTC)
NGP = Device(manufacturer="Medtronic", model="MMT-1884", serial="NG1234567H", family="NGP")
OLD_PUMP = Device(manufacturer="Medtronic", model="MMT-723", serial="123456", family="PARADIGM")
METER = Device(manufacturer="Ascensia", model="Contour Next One", serial="7800123", family="CONTOUR")


def make(kind: str, minute: float = 0, name: str = "", **fields: Any) -> Any:
    """A record that many minutes after START; `name` tells records of one kind and minute apart."""
    key = f"{minute}:{name}"
    envelope: dict[str, Any] = {
        "id": record_id("p1", "test", kind, key),
        "kind": kind,
        "time": START + timedelta(minutes=minute),
        "device_time": None,
        "utc_offset_min": 60,
        "profile": "p1",
        "device": NGP.model_dump(),
        "reader": "carelink-cloud",
        "source_key": key,
    }
    return RECORDS.validate_python(envelope | fields)


def event(name: str, minute: float = 0, **fields: Any) -> Any:
    """A device event."""
    return make("device_event", minute, name, event=name, **fields)


def dose(minute: float, units: float = 0.1, **fields: Any) -> Any:
    """A micro-dose."""
    more = {"delivery": "automatic", "dose_u": units, "rate_u_h": units * 12, "duration_min": 5} | fields
    return make("basal", minute, "dose", **more)


def readings(first: float, last: float) -> list[Any]:
    """A sensor reading every five minutes."""
    count = int((last - first) // 5) + 1
    return [make("sensor_glucose", first + 5 * index, mgdl=110) for index in range(count)]


def to_nightscout(records: Iterable[Record], **settings: Any) -> Desired:
    """Mapped for a site."""
    return nightscout.desired(records, nightscout.MappingSettings(**settings))


def to_tidepool(records: Iterable[Record], **settings: Any) -> Desired:
    """Mapped for Tidepool."""
    return tidepool.desired(records, tidepool.TidepoolMappingSettings(**settings))


BOTH: tuple[Callable[[Iterable[Record]], Desired], ...] = (to_nightscout, to_tidepool)


def documents(desired: Desired, record: Record) -> list[Document]:
    """A record's own documents, by key."""
    own = [one for one in desired.documents.values() if one.record_id == record.id]
    return sorted(own, key=lambda one: one.key)


def only(desired: Desired, record: Record) -> dict[str, Any]:
    """The body of a record's single document."""
    (one,) = documents(desired, record)
    return dict(one.body)


def reason(desired: Desired, record: Record) -> str | None:
    """Why a record has no document."""
    return desired.fates[record.id].skipped


COUNTED = Fate(documents=1)


def life(random: Random, days: int) -> list[Any]:
    """Days of a person with a loop pump, an older pump, a meter: every kind, gaps, meals, ties, open ends."""
    records: list[Any] = []
    for day in range(days):
        records += _day(random, day * 1440)
    return records


def _day(random: Random, start: int) -> list[Any]:
    records = [
        make("sensor_glucose", start + 5 * slot, mgdl=random.choice([None, 39, 90, 250]))
        for slot in range(288)
        if random.random() < 0.85
    ]
    minute = start + random.uniform(0, 5)
    while minute < start + 1440:
        records.append(dose(round(minute, 3), random.choice([0.025, 0.1, 0])))
        minute += random.choice([5, 5, 5, 5.05, 12, 30, 65, 175, 200])
    for _ in range(6):
        records += _meal(random, start + random.randrange(1440))
    for name in ("mode_change", "rewind", "reservoir_change", "prime", "site_change", "alarm", "temp_target"):
        for at in random.sample(range(start, start + 1440), random.randrange(4)):
            extra = {"target": random.choice(["cannula", "tubing"])} if name == "prime" else {}
            records.append(event(name, at, mode="auto" if name == "mode_change" else None, **extra))
    for at in random.sample(range(start, start + 1440), 4):
        value = random.choice([90, 91, 250])
        records.append(make("meter_glucose", at, mgdl=value, device=METER, control_solution=random.random() < 0.2))
        records.append(make("calibration", at + random.randrange(-7, 7), mgdl=random.choice([value, 91])))
    for at in random.sample(range(start, start + 1440), 8):
        records.append(_old_basal(random, at))
    return records


def _meal(random: Random, at: float) -> list[Any]:
    carbs = make("carbs", at, grams=random.choice([10, 45.5]))
    calculation = make("bolus_calculation", at - 1, carbs_g=random.choice([None, 0, 45]), bg_mgdl=120)
    boluses = [
        make(
            "bolus",
            at + random.choice([0, 1, 1, 150]),
            str(index),
            delivered_u=random.choice([0, 1.5]),
            programmed_u=2,
            completed=random.random() < 0.7,
            requested_by=random.choice(["wizard", "manual", "closed_loop"]),
            carbs_id=random.choice([carbs.id, None]),
            calculation_id=random.choice([calculation.id, None]),
        )
        for index in range(random.randrange(1, 4))
    ]
    backward = {"bolus_id": boluses[0].id} if random.random() < 0.5 else {}
    return [carbs, calculation.model_copy(update=backward), *boluses]


def _old_basal(random: Random, at: float) -> Any:
    return make(
        "basal",
        at,
        "old",
        device=OLD_PUMP,
        reader="medtronic-stick",
        delivery=random.choice(["scheduled", "temporary", "suspended"]),
        rate_u_h=random.choice([0, 0.8]),
        duration_min=random.choice([None, 30, 600]),
    )
