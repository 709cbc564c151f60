"""Sensor records become records of the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from bridge.errors import InvalidRecord
from bridge.model.identity import record_id
from bridge.model.records import Calibration, Device, Quality, Record, SensorGlucose, Trend
from bridge.model.time import iso_wall
from bridge.readers.ble_cgm.measurement import CgmMeasurement
from bridge.readers.ble_cgm.session import StoredCalibration

NAME = "ble-cgm"
FAMILY = "CGM"
UNCERTAIN, OUT_OF_RANGE = "clock/uncertain", "bg/out-of-range"
_LEAST_MGDL, _MOST_MGDL = 10, 1000
_FAULTY_STATUS, _STOPPED = 1 << 2 | 1 << 3 | 1 << 5, 1
_TIME_SYNC, _CALIBRATING, _TEMPERATURE = 1, 1 << 3 | 1 << 6, 1 << 4 | 1 << 5
_SLOPES: tuple[tuple[Decimal, Literal["forty_five", "single", "double"]], ...] = (
    (Decimal(2), "forty_five"),
    (Decimal(3), "single"),
)
_MOST_OFFSET_MIN = 24 * 60
Body: TypeAlias = dict[str, Any]


def feed(serial: str) -> str:
    """The sensor's part of the identity: its serial, else its address."""
    return f"ble:{serial}"


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its start on the sensor's wall clock and in UTC, and whether that is in doubt."""

    local: datetime
    utc: datetime
    doubtful: bool

    def source_key(self, offset_min: int) -> str:
        """The name of a minute of this session."""
        return f"{iso_wall(self.local)}:{offset_min}"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the records of one session."""

    profile: str
    feed: str
    device: Device
    session: Session

    def glucose(self, measurement: CgmMeasurement) -> Record:
        """A reading. Raises InvalidRecord."""
        rate = measurement.trend_mgdl_min
        body: Body = {
            "mgdl": _mgdl(measurement),
            "trend": None if rate is None else trend(rate),
            "rate_mgdl_min": None if rate is None else float(rate),
            "quality": _quality(measurement),
        }
        notes = _notes(measurement, body["mgdl"])
        return self._validated(SensorGlucose, measurement.time_offset_min, body, notes, _raw(measurement))

    def calibration(self, stored: StoredCalibration) -> Record | None:
        """A calibration, None for one without a value. Raises InvalidRecord."""
        if stored.mg_dl is None:
            return None
        body = {"mgdl": _whole(stored.mg_dl), "accepted": stored.accepted}
        raw = {"record": stored.record, "status": stored.status}
        return self._validated(Calibration, stored.time_offset_min, body, [], raw)

    def _validated(self, model: type[Record], offset_min: int, body: Body, notes: list[Body], raw: Body) -> Record:
        kind, key = str(model.model_fields["kind"].default), self.session.source_key(offset_min)
        span = timedelta(minutes=offset_min)
        wall, time = self.session.local + span, self.session.utc + span
        if self.session.doubtful and not any(note["code"] == UNCERTAIN for note in notes):
            notes.append({"code": UNCERTAIN})
        try:
            return model(
                id=record_id(self.profile, self.feed, kind, key), time=time, device_time=wall,
                utc_offset_min=_offset_min(wall, time), profile=self.profile, device=self.device, reader=NAME,
                source_key=key, annotations=tuple(notes), raw=raw, **body,
            )  # fmt: skip
        except ValidationError as why:
            raise InvalidRecord.of(kind, why) from None


def trend(rate_mgdl_min: Decimal) -> Trend:
    """The class of a rate: flat below 1 mg/dL a minute, then 1-2, 2-3, more."""
    size = abs(rate_mgdl_min)
    if size < 1:
        return "flat"
    slope = next((name for limit, name in _SLOPES if size <= limit), "double")
    return f"{slope}_{'up' if rate_mgdl_min > 0 else 'down'}"  # type: ignore[return-value]


def _mgdl(measurement: CgmMeasurement) -> int | None:
    exact = measurement.mg_dl
    if exact is None:
        return None
    whole = _whole(exact)
    return min(max(whole, _LEAST_MGDL), _MOST_MGDL) if measurement.out_of_range else whole


def _whole(exact: Decimal) -> int:
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _quality(measurement: CgmMeasurement) -> Quality:
    status, cal_temp = measurement.status or 0, measurement.cal_temp or 0
    if status & _FAULTY_STATUS:
        return "fault"
    if cal_temp & _CALIBRATING:
        return "calibrating"
    doubtful = status & _STOPPED or cal_temp & _TEMPERATURE or measurement.mg_dl is None
    return "uncertain" if doubtful else "ok"


def _notes(measurement: CgmMeasurement, mgdl: int | None) -> list[Body]:
    notes: list[Body] = []
    if measurement.out_of_range:
        limit = {} if mgdl is None else {"threshold_mgdl": mgdl}
        notes.append({"code": OUT_OF_RANGE, "value": measurement.out_of_range} | limit)
    if (measurement.cal_temp or 0) & _TIME_SYNC:
        notes.append({"code": UNCERTAIN})
    return notes


def _raw(measurement: CgmMeasurement) -> Body:
    quality = measurement.quality
    said: Body = {
        "time_offset_min": measurement.time_offset_min,
        "status": measurement.status,
        "cal_temp": measurement.cal_temp,
        "warning": measurement.warning,
        "quality_pct": float(quality) if isinstance(quality, Decimal) else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _offset_min(wall: datetime, time: datetime) -> int | None:
    minutes = round((wall - time.replace(tzinfo=None)).total_seconds() / 60)
    return minutes if abs(minutes) <= _MOST_OFFSET_MIN else None
