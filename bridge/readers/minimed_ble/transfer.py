"""All that came from one pump, sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.contracts import Notes
from bridge.errors import Malformed
from bridge.readers.minimed_ble import uuids
from bridge.readers.minimed_ble.history import Event, parse_event
from bridge.readers.minimed_ble.status import (
    ActiveBasal,
    Algorithm,
    Features,
    InsulinOnBoard,
    PumpState,
    parse_answer,
    parse_features,
    parse_status,
)
from bridge.wire.device_information import text
from bridge.wire.gatt_lines import Value

_TEXTS = (uuids.SERIAL, uuids.MODEL, uuids.FIRMWARE, uuids.HARDWARE)
_OURS = uuids.SEALED
_SAYS_NOTHING = frozenset((uuids.RACP,))
_MOST_PERCENT = 100


@dataclass(slots=True)
class Transfer(Notes):
    """What a body says. `events` by their number; the last status and answers stand."""

    texts: dict[str, str] = field(default_factory=dict)
    state: PumpState | None = None
    features: Features | None = None
    basal: ActiveBasal | None = None
    on_board: InsulinOnBoard | None = None
    algorithm: Algorithm | None = None
    battery_pct: int | None = None
    sensor_battery_pct: int | None = None
    events: dict[int, Event] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Sequence[Value], strange_lines: int) -> Transfer:
        """Raises Malformed when nothing in it is of a pump's insulin service."""
        if not any(value.uuid in _OURS for value in values):
            raise Malformed(
                "This is not what a pump sends: nothing of its insulin service.",
                next_step=f"It has lines such as `{uuids.HISTORY} 0ef0...`.",
            )
        transfer = cls()
        for value in values:
            transfer._take(value)
        for _ in range(strange_lines):
            transfer.note("strange_line", "A line that is no characteristic value.", strange=True)
        return transfer

    @property
    def serial(self) -> str | None:
        """The pump's serial."""
        return self.texts.get(uuids.SERIAL)

    def _take(self, value: Value) -> None:
        read = _READ.get(value.uuid)
        try:
            if read is not None:
                read(self, value.data)
            elif value.uuid in _TEXTS:
                self._text(value)
            elif value.uuid not in _SAYS_NOTHING:
                self.note("unknown_characteristic", f"A value of {value.uuid} is not read.")
        except Malformed as error:
            self.note("refused_row", error.message, strange=True)

    def _text(self, value: Value) -> None:
        said = text(value.data)
        if said is not None:
            self.texts[value.uuid] = said

    def _status(self, data: bytes) -> None:
        self.state = parse_status(data)

    def _features(self, data: bytes) -> None:
        self.features = parse_features(data)

    def _answer(self, data: bytes) -> None:
        match parse_answer(data):
            case ActiveBasal() as basal:
                self.basal = basal
            case InsulinOnBoard() as on_board:
                self.on_board = on_board
            case Algorithm() as algorithm:
                self.algorithm = algorithm

    def _event(self, data: bytes) -> None:
        event = parse_event(data)
        self.events[event.sequence] = event
        if event.name is None:
            self.note("unknown_event", f"An event of type {event.type:04X} is not known.", strange=True)

    def _battery(self, data: bytes) -> None:
        self.battery_pct = _percent(data)

    def _sensor_battery(self, data: bytes) -> None:
        self.sensor_battery_pct = _percent(data)


def _percent(data: bytes) -> int | None:
    return data[0] if data and data[0] <= _MOST_PERCENT else None


_READ: Mapping[str, Callable[[Transfer, bytes], None]] = {
    uuids.STATUS: Transfer._status,  # noqa: SLF001
    uuids.FEATURES: Transfer._features,  # noqa: SLF001
    uuids.STATUS_READER: Transfer._answer,  # noqa: SLF001
    uuids.HISTORY: Transfer._event,  # noqa: SLF001
    uuids.BATTERY_LEVEL: Transfer._battery,  # noqa: SLF001
    uuids.SENSOR_BATTERY: Transfer._sensor_battery,  # noqa: SLF001
}
