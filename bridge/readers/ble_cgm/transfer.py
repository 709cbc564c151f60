"""All that came from one sensor, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.contracts import Notes
from bridge.errors import Malformed
from bridge.readers.ble_cgm.measurement import CgmMeasurement, parse_measurements
from bridge.readers.ble_cgm.session import (
    CgmFeature,
    CgmStatus,
    SessionStart,
    StoredCalibration,
    parse_calibration,
    parse_control,
    parse_feature,
    parse_session_start,
    parse_status,
)
from bridge.wire.device_information import FIRMWARE, HARDWARE, MANUFACTURER, MODEL, SERIAL, text
from bridge.wire.e2e_crc import Dialect
from bridge.wire.gatt_lines import Value

SERVICE = "181f"
MEASUREMENT, FEATURE, STATUS, START, RUN_TIME, CONTROL = "2aa7", "2aa8", "2aa9", "2aaa", "2aab", "2aac"
RACP = "2a52"
IDENTITY = (MANUFACTURER, MODEL, SERIAL, FIRMWARE)
_OURS = {MEASUREMENT, FEATURE, STATUS, START, RUN_TIME, CONTROL}
_SAYS_NOTHING = {RACP, RUN_TIME, FIRMWARE, HARDWARE, "2a19"}


@dataclass(slots=True)
class Transfer(Notes):
    """What a body says. `measurements` by their time offset: a later one of the same minute stands for it."""

    texts: dict[str, str] = field(default_factory=dict)
    feature: CgmFeature | None = None
    status: CgmStatus | None = None
    start: SessionStart | None = None
    measurements: dict[int, CgmMeasurement] = field(default_factory=dict)
    calibrations: list[StoredCalibration] = field(default_factory=list)

    @classmethod
    def of(cls, values: Sequence[Value], strange_lines: int) -> Transfer:
        """Raises Malformed when nothing in it is of the CGM Service."""
        if not any(value.uuid in _OURS for value in values):
            raise Malformed(
                "This is not what a glucose sensor sends: no CGM Measurement.",
                next_step="It has lines such as `2AAA ea07...` and `2AA7 0600...`.",
            )
        transfer = cls()
        # What says how to read the rest comes first, wherever it stands.
        for value in sorted(values, key=lambda value: value.uuid != FEATURE):
            transfer._take(value)
        for _ in range(strange_lines):
            transfer.note("strange_line", "A line that is no characteristic value.", strange=True)
        return transfer

    @property
    def serial(self) -> str | None:
        """The sensor's serial."""
        return self.texts.get(SERIAL)

    @property
    def _dialect(self) -> Dialect | None:
        return self.feature.dialect if self.feature else None

    def _take(self, value: Value) -> None:
        try:
            self._read(value.uuid, value.data)
        except Malformed as error:
            self.note("refused_row", error.message, strange=True)

    def _read(self, uuid: str, data: bytes) -> None:
        match uuid:
            case "2aa7":
                self.measurements |= {each.time_offset_min: each for each in parse_measurements(data, self._dialect)}
            case "2aa8":
                self.feature = parse_feature(data)
            case "2aa9":
                self.status = parse_status(data)
            case "2aaa":
                self.start = parse_session_start(data)
            case "2aac":
                self._control(data)
            case _ if uuid in IDENTITY:
                self._text(uuid, data)
            case _ if uuid not in _SAYS_NOTHING:
                self.note("unknown_characteristic", f"A value of {uuid} is not read.")

    def _control(self, data: bytes) -> None:
        calibration = parse_calibration(parse_control(data, self._dialect))
        if calibration is not None:
            self.calibrations.append(calibration)

    def _text(self, uuid: str, data: bytes) -> None:
        said = text(data)
        if said is not None:
            self.texts[uuid] = said
