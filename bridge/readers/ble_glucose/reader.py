"""The reader: a pass listens, connects to bound meters that were switched on, and ends with a named state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.contracts.ble import BleRadio, Introduced, Sighted
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
from bridge.model.time import iso_ms
from bridge.model.whose import Whose
from bridge.readers.ble_glucose.allowed import permitted
from bridge.readers.ble_glucose.decode import decode
from bridge.readers.ble_glucose.making import NAME, feed
from bridge.readers.ble_glucose.resting import Resting
from bridge.readers.ble_glucose.talk import Talk
from bridge.readers.ble_glucose.transfer import FEATURE, IDENTITY, MEASUREMENT, SERVICE, Identity, keeps_one_bond
from bridge.wire import gatt_lines
from bridge.wire.device_information import redacted
from bridge.wire.gatt_lines import Value

_WITHOUT_RADIO = timedelta(minutes=1)
_EXPECTED = (Transient, DeviceUnreachable, Unauthorised, Incompatible, Refused, Malformed)
_ASLEEP = Health(State.NO_DEVICE, "No meter of this person is switched on in reach.")
_UNBOUND = Health(State.DEVICE_UNBOUND, "A meter is switched on in reach that belongs to nobody here yet. Bind it.")


class BleGlucoseSettings(BaseModel):
    """Which meters are this person's, by serial or address, and how the machine listens for them.

    It listens `scan_s` seconds at a time, with `pause_s` seconds in between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: list[str] = []
    scan_s: Annotated[float, Field(gt=0, le=60)] = 12.0
    pause_s: Annotated[float, Field(ge=1, le=3600)] = 20.0


class BleGlucoseReader:
    """Reads meters with the Bluetooth Glucose Profile, each time they are switched on in reach."""

    name = NAME
    file_feed = "ble"
    Settings: ClassVar[type[BaseModel]] = BleGlucoseSettings
    linking: ClassVar[None] = None
    advertises: ClassVar[str] = SERVICE
    introduces: ClassVar[Sequence[str]] = (*IDENTITY, FEATURE)

    def __init__(self, setup: Setup, radio: BleRadio | None = None) -> None:
        self._setup, self._clock = setup, setup.clock
        self._settings = BleGlucoseSettings.model_validate(dict(setup.settings))
        self._radio: BleRadio | None = radio if radio is not None else setup.ble
        self._whose = Whose(self._settings.devices, setup.bound_elsewhere)
        self._resting = Resting(self._settings.scan_s + self._settings.pause_s)

    @classmethod
    def introduced(cls, values: Sequence[Value], name: str) -> Introduced:
        """Who a meter says it is."""
        identity = Identity.of(values, name)
        feature = next((value.data for value in values if value.uuid == FEATURE), b"")
        return Introduced(identity.model, identity.serial, keeps_one_bond(feature))

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of characteristic values as text, one a line. Pure. Raises Malformed for anything else."""
        return decode(capture, memory)

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same read with made-up serials and without an address."""
        return redacted(capture, names, feed)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass: a batch for each meter that was read. `since` changes nothing: a meter is asked by number."""
        if self._radio is None:
            raise ContractViolation("The Bluetooth meter reader was asked to read without a radio.")
        try:
            sighted = await self._radio.scan(SERVICE, self._settings.scan_s, lambda one: self._wanted(one, memory))
        except _EXPECTED as error:
            yield self._batch(_health(error), _WITHOUT_RADIO)
            return
        self._resting.saw((each.address for each in sighted), self._clock.monotonic())
        told = False
        for one in sighted:
            if not self._wanted(one, memory):
                continue
            batch = await self._visit(self._radio, one, memory)
            if batch is None:
                continue
            told = True
            yield batch
            if batch.decoded is not None:
                memory = replace(memory, state=batch.decoded.state)
        if not told:
            yield self._batch(self._quiet([each.address for each in sighted], memory), self._pause)

    # --- whose, and whether now ----------------------------------------------------------------------

    def _wanted(self, one: Sighted, memory: Memory) -> bool:
        """Whether to connect: a bound meter, or one that may be bound by a serial we do not know yet."""
        return self._may_be_ours(one.address, memory) and self._resting.due(one.address, self._clock.monotonic())

    def _may_be_ours(self, address: str, memory: Memory) -> bool:
        return self._whose.may_be_ours(address, _addresses(memory.state))

    def _quiet(self, addresses: list[str], memory: Memory) -> Health:
        """What to say when nothing was read."""
        if any(self._may_be_ours(address, memory) for address in addresses):
            return Health()
        return _UNBOUND if any(self._whose.is_nobodys(address) for address in addresses) else _ASLEEP

    # --- one meter -----------------------------------------------------------------------------------

    async def _visit(self, radio: BleRadio, one: Sighted, memory: Memory) -> Batch | None:
        """One meter's batch, None for a stranger. What came before an outage is decoded like a whole read."""
        talk: Talk | None = None
        try:
            async with radio.connect(one.address, SERVICE, permitted) as link:
                talk = Talk(link, self._clock, one.name, self._told)
                await talk.introduce()
                serial = talk.identity.serial or one.address
                if not self._whose.is_ours(one.address, talk.identity.serial):
                    return None
                await talk.read_clock()
                try:
                    cursor = await talk.fetch(_cursors(memory.state).get(feed(serial)))
                finally:
                    await talk.abort()
        except _EXPECTED as error:
            wait_s = self._resting.failed(one.address, self._clock.monotonic())
            return self._broken_off(one, talk, error, memory, min(timedelta(seconds=wait_s), self._pause))
        self._resting.read(one.address, self._clock.monotonic())
        complete = {"complete": "yes", "cursor": None if cursor is None else str(cursor)}
        return self._read(self._capture(one, talk, complete), memory, self._pause)

    def _broken_off(
        self, one: Sighted, talk: Talk | None, error: BridgeError, memory: Memory, wait: timedelta
    ) -> Batch:
        """An outage, with the results that came before it."""
        if talk is None or not any(value.uuid == MEASUREMENT for value in talk.values):
            return self._batch(_health(error), wait)
        batch = self._read(self._capture(one, talk, {"complete": "no"}), memory, wait)
        return batch if isinstance(error, (DeviceUnreachable, Transient)) else replace(batch, health=_health(error))

    def _read(self, capture: Capture, memory: Memory, wait: timedelta) -> Batch:
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            return replace(self._batch(_health(error), wait), capture=capture)
        return replace(self._batch(decoded.health, wait), decoded=decoded, capture=capture)

    def _capture(self, one: Sighted, talk: Talk, ended: Mapping[str, str | None]) -> Capture:
        context = {
            "timezone": self._setup.timezone,
            "host_clock": iso_ms(talk.host or self._clock.now()),
            "name": one.name,
            "address": one.address,
            "counted": str(talk.counted or ""),
            **ended,
        }
        said = {name: value for name, value in context.items() if value}
        whose = feed(talk.identity.serial or one.address)
        body = gatt_lines.written(talk.values)
        return Capture(self._setup.profile, NAME, whose, self._clock.now(), body, said)

    def _told(self, done: int, total: int) -> None:
        self._setup.progress("results", done, total)

    @property
    def _pause(self) -> timedelta:
        return timedelta(seconds=self._settings.pause_s)

    def _batch(self, health: Health, wait: timedelta) -> Batch:
        return Batch(self._setup.profile, NAME, self._clock.now() + wait, health)


def _health(error: BridgeError) -> Health:
    return Health(State.named(error.state), str(error))


def _addresses(state: Mapping[str, Any]) -> dict[str, str]:
    found = state.get("addresses")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _cursors(state: Mapping[str, Any]) -> dict[str, int]:
    found = state.get("cursors")
    return (
        {str(key): value for key, value in found.items() if isinstance(value, int)}
        if isinstance(found, Mapping)
        else {}
    )
