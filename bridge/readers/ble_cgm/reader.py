"""The reader: a pass connects to each bound sensor, brings its new readings, and ends with a named state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.contracts.ble import BleRadio, Introduced
from bridge.errors import (
    BridgeError,
    ContractViolation,
    DeviceUnreachable,
    Incompatible,
    Malformed,
    Refused,
    Transient,
    Unauthorised,
)
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.pseudonym import Pseudonyms
from bridge.model.time import iso_ms, iso_wall
from bridge.model.whose import Whose
from bridge.readers.ble_cgm.allowed import permitted
from bridge.readers.ble_cgm.decode import decode
from bridge.readers.ble_cgm.making import NAME, feed
from bridge.readers.ble_cgm.session import parse_session_start
from bridge.readers.ble_cgm.talk import Talk
from bridge.readers.ble_cgm.transfer import IDENTITY, MEASUREMENT, SERVICE
from bridge.wire import gatt_lines
from bridge.wire.device_information import MODEL, SERIAL, redacted, text
from bridge.wire.gatt_lines import Value

INTERVAL = timedelta(minutes=5)
"""Between two readings of most sensors."""
_AFTER = timedelta(seconds=20)
_SOON = timedelta(minutes=1)
_EXPECTED = (Transient, DeviceUnreachable, Unauthorised, Incompatible, Refused, Malformed)
_NOBODY = Health(State.NO_DEVICE, "No sensor of this person is in reach.")
_UNBOUND = Health(State.DEVICE_UNBOUND, "A sensor is in reach that belongs to nobody here yet. Bind it.")


class BleCgmSettings(BaseModel):
    """Which sensors are this person's, by serial or address, and how long the machine listens for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: list[str] = []
    scan_s: Annotated[float, Field(gt=0, le=60)] = 12.0


class BleCgmReader:
    """Reads sensors with the Bluetooth CGM Profile."""

    name = NAME
    file_feed = "ble"
    Settings: ClassVar[type[BaseModel]] = BleCgmSettings
    linking: ClassVar[None] = None
    advertises: ClassVar[str] = SERVICE
    introduces: ClassVar[Sequence[str]] = IDENTITY

    def __init__(self, setup: Setup, radio: BleRadio | None = None) -> None:
        self._setup, self._clock = setup, setup.clock
        self._settings = BleCgmSettings.model_validate(dict(setup.settings))
        self._radio: BleRadio | None = radio if radio is not None else setup.ble
        self._whose = Whose(self._settings.devices, setup.bound_elsewhere)

    @classmethod
    def introduced(cls, values: Sequence[Value], name: str) -> Introduced:
        """Who a sensor says it is."""
        said = {value.uuid: text(value.data) for value in values}
        return Introduced(said.get(MODEL) or name or None, said.get(SERIAL))

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of characteristic values as text, one a line. Pure. Raises Malformed for anything else."""
        return decode(capture, memory)

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same read with made-up serials and without an address."""
        return redacted(capture, names, feed)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass: a batch for each sensor that was read. `since` changes nothing: a sensor is asked by minute."""
        if self._radio is None:
            raise ContractViolation("The Bluetooth sensor reader was asked to read without a radio.")
        try:
            sighted = await self._radio.scan(
                SERVICE, self._settings.scan_s, lambda one: self._may_be_ours(one.address, memory)
            )
        except _EXPECTED as error:
            yield self._batch(_health(error), _SOON)
            return
        told = False
        for one in sighted:
            if self._may_be_ours(one.address, memory):
                batch = await self._visit(self._radio, one.address, memory)
                if batch is not None:
                    told = True
                    yield batch
                    memory = memory if batch.decoded is None else replace(memory, state=batch.decoded.state)
        if not told:
            nobodys = any(self._whose.is_nobodys(each.address) for each in sighted)
            yield self._batch(_UNBOUND if nobodys else _NOBODY, _SOON)

    def _may_be_ours(self, address: str, memory: Memory) -> bool:
        return self._whose.may_be_ours(address, _table(memory.state, "addresses"))

    async def _visit(self, radio: BleRadio, address: str, memory: Memory) -> Batch | None:
        """One sensor's batch, None for a stranger. What came before an outage is decoded like a whole read."""
        talk: Talk | None = None
        serial: str | None = None
        try:
            async with radio.connect(address, SERVICE, permitted) as link:
                talk = Talk(link, self._clock)
                serial = await talk.introduce()
                if not self._whose.is_ours(address, serial):
                    return None
                start = await talk.read_session()
                try:
                    await talk.fetch(_read_to(memory, feed(serial or address), start))
                finally:
                    await talk.abort()
        except _EXPECTED as error:
            return self._broken_off(address, serial, talk, error, memory)
        return self._read(self._capture(address, serial, talk, "yes"), memory)

    def _broken_off(
        self, address: str, serial: str | None, talk: Talk | None, error: BridgeError, memory: Memory
    ) -> Batch:
        if talk is None or not any(value.uuid == MEASUREMENT for value in talk.values):
            return self._batch(_health(error), _SOON)
        return self._read(self._capture(address, serial, talk, "no"), memory)

    def _read(self, capture: Capture, memory: Memory) -> Batch:
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            return replace(self._batch(_health(error), _SOON), capture=capture)
        batch = self._batch(decoded.health, self._wait(decoded))
        return replace(batch, decoded=decoded, capture=capture)

    def _wait(self, decoded: Decoded) -> timedelta:
        """Until a moment after the next reading; a minute where that is not known."""
        if not decoded.records or decoded.health.state is State.INCOMPLETE:
            return _SOON
        newest = max(record.time for record in decoded.records)
        return min(max(newest + INTERVAL + _AFTER - self._clock.now(), _SOON), INTERVAL + _AFTER)

    def _capture(self, address: str, serial: str | None, talk: Talk, complete: str) -> Capture:
        context = {
            "timezone": self._setup.timezone,
            "host_clock": iso_ms(talk.host or self._clock.now()),
            "address": address,
            "complete": complete,
        }
        said = {name: value for name, value in context.items() if value}
        body, whose = gatt_lines.written(talk.values), feed(serial or address)
        return Capture(self._setup.profile, NAME, whose, self._clock.now(), body, said)

    def _batch(self, health: Health, wait: timedelta) -> Batch:
        return Batch(self._setup.profile, NAME, self._clock.now() + wait, health)


def _health(error: BridgeError) -> Health:
    return Health(State.named(error.state), str(error))


def _table(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = state.get(name)
    return found if isinstance(found, Mapping) else {}


def _read_to(memory: Memory, whose: str, start: bytes | None) -> int | None:
    """Up to which minute this very session was read, None for another one."""
    known = _table(memory.state, "sessions").get(whose)
    try:
        local = parse_session_start(start).local if start else None
    except Malformed:
        return None
    if not isinstance(known, Mapping) or local is None or known.get("start") != iso_wall(local):
        return None
    read_to = known.get("read_to")
    return read_to if isinstance(read_to, int) else None
