"""All that came from one meter, sorted: who it is, what its clock showed, results and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.contracts import Notes
from bridge.errors import Malformed
from bridge.readers.ble_glucose import clocks
from bridge.readers.ble_glucose.context import Context, parse_context
from bridge.readers.ble_glucose.makers import NAMED_SERIAL, PLACEHOLDER_MODEL, Quirks, quirks_of
from bridge.readers.ble_glucose.measurement import Measurement, parse_measurement
from bridge.wire.contour import sold_as
from bridge.wire.device_information import FIRMWARE, HARDWARE, MANUFACTURER, MODEL, SERIAL, text
from bridge.wire.gatt_lines import Value

SERVICE = "1808"
MEASUREMENT, CONTEXT, FEATURE, RACP = "2a18", "2a34", "2a51", "2a52"
IDENTITY = (MANUFACTURER, MODEL, SERIAL, FIRMWARE)
BATTERY = "2a19"
_OURS = {MEASUREMENT, CONTEXT, FEATURE, RACP}
_SAYS_NOTHING = {FEATURE, RACP, FIRMWARE, HARDWARE, BATTERY}
_MULTIPLE_BONDS_BIT = 10


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a meter says it is; `name` is the advertised one."""

    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    name: str | None = None

    @classmethod
    def of(cls, values: Sequence[Value], name: str | None) -> Identity:
        """From what was read of its Device Information."""
        texts = {value.uuid: text(value.data) for value in values if value.uuid in IDENTITY}
        manufacturer, model, serial = (texts.get(uuid) for uuid in (MANUFACTURER, MODEL, SERIAL))
        if model == PLACEHOLDER_MODEL:
            model = name or model
        elif model:
            model = sold_as(model)
        if quirks_of(manufacturer, name).named_serial and name and name.startswith(NAMED_SERIAL):
            serial = f"{model or ''}{name.removeprefix(NAMED_SERIAL)}" or serial
        return cls(manufacturer, model, serial, name)

    @property
    def quirks(self) -> Quirks:
        """What this maker's meters do differently."""
        return quirks_of(self.manufacturer, self.name)


def keeps_one_bond(feature: bytes) -> bool:
    """Whether pairing with this machine makes the meter forget the phone it was paired with."""
    return len(feature) >= 2 and not int.from_bytes(feature[:2], "little") >> _MULTIPLE_BONDS_BIT & 1


@dataclass(slots=True)
class Transfer(Notes):
    """What a body says. `shown` is the first clock of the meter that could be read."""

    identity: Identity
    shown: datetime | None = None
    clock_unset: bool = False
    measurements: list[Measurement] = field(default_factory=list)
    contexts: dict[int, Context] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, values: Sequence[Value], strange_lines: int, name: str | None) -> Transfer:
        """Raises Malformed when nothing in it is of the Glucose Service."""
        if not any(value.uuid in _OURS for value in values):
            raise Malformed(
                "This is not what a glucose meter sends: no Glucose Measurement.",
                next_step="It has lines such as `2A18 0301...`.",
            )
        transfer = cls(Identity.of(values, name))
        for value in values:
            transfer._take(value)
        for _ in range(strange_lines):
            transfer.note("strange_line", "A line that is no characteristic value.", strange=True)
        return transfer

    def _take(self, value: Value) -> None:
        try:
            if value.uuid == MEASUREMENT:
                self._measurement(value.data)
            elif value.uuid == CONTEXT:
                found = parse_context(value.data)
                self.contexts[found.sequence] = found
            elif clocks.is_clock(value.uuid):
                self._clock(value)
            elif value.uuid not in _SAYS_NOTHING and value.uuid not in IDENTITY:
                self.note("unknown_characteristic", f"A value of {value.uuid} is not read.")
        except Malformed as error:
            self.note("refused_row", error.message, strange=True)

    def _measurement(self, data: bytes) -> None:
        if data not in self._seen:
            self.measurements.append(parse_measurement(data))
            self._seen.add(data)

    def _clock(self, value: Value) -> None:
        found = clocks.shown(value.uuid, value.data)
        self.clock_unset = self.clock_unset or found is None
        self.shown = self.shown or found
