"""The reader: one pass reads each bound pump that is due, in checked pieces; outages end as a named state."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from bridge.contracts import (
    Batch,
    Decoded,
    Diagnostic,
    Interval,
    Memory,
    Recognised,
    Setup,
    UsbBus,
    UsbDevice,
    UsbKind,
    UsbPort,
)
from bridge.errors import (
    BridgeError,
    ContractViolation,
    DeviceUnreachable,
    Forbidden,
    Incompatible,
    Malformed,
    Refused,
    Transient,
)
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.pseudonym import Pseudonyms
from bridge.model.time import iso_ms, iso_wall, parse_instant
from bridge.readers.medtronic_stick.pump import Pump, clock_of
from bridge.readers.medtronic_stick.reading import Reading
from bridge.readers.medtronic_stick.settings import FLOOR_MIN, StickSettings
from bridge.readers.medtronic_stick.stick import Stick, identify
from bridge.readers.medtronic_stick.sync import Sync

NAME = "medtronic-stick"
VENDOR_CLASS = 0xFF
_LAST_ASK_S = 125.0
"""Nothing new is asked later in a pass: what is under way then ends within 150 s."""
_LEAST_S = 45.0
"""With less time left, another pump waits for the next pass."""
_SOON = timedelta(minutes=1)
_FLOOR = timedelta(minutes=FLOOR_MIN)
_ENGINE_ASKS = timedelta(minutes=60)
"""The longest that the engine lets a source wait: only longer intervals must be kept here."""
_STICK_TROUBLE = frozenset({"unplugged", "usb_stalled", "usb_busy", "usb_permission"})
"""States that a person mends at the stick; then the pump is read at once."""
_EXPECTED = (Transient, DeviceUnreachable, Forbidden, Incompatible, Malformed, Refused)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A use of the radio in this process: when (monotonic s) and how it ended."""

    at: float
    health: Health


class MedtronicStickReader:
    """Reads MiniMed pumps by radio through a plugged-in CareLink USB stick. Read-only."""

    name = NAME
    file_feed = "medtronic"
    Settings: ClassVar[type[BaseModel]] = StickSettings
    linking: ClassVar[None] = None
    plugs: ClassVar[Sequence[UsbKind]] = (UsbKind(0x0A21, 0x8001, VENDOR_CLASS),)

    def __init__(self, setup: Setup) -> None:
        self._setup, self._clock = setup, setup.clock
        self._settings = StickSettings.model_validate(setup.settings)
        self._attempts: dict[str, _Attempt] = {}
        self._next: dict[str, datetime] = {}

    @classmethod
    async def recognise(cls, port: UsbPort, device: UsbDevice) -> Recognised:
        """Ask the stick for its name. It only relays: serials belong to the pumps behind it."""
        product = await identify(port)
        text = f"A CareLink USB stick for {product.radio}. Name the pump's six digits in `devices`."
        return Recognised(NAME, "CareLink USB", None, Health(State.OK, text))

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a kept read. Pure. Raises Malformed for what is not a capture of this reader."""
        from bridge.readers.medtronic_stick.decode import decode

        decoded = decode(capture, memory)
        kept = memory.state.get("io")
        return decoded if kept is None else replace(decoded, state={**decoded.state, "io": kept})

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same read with made-up serials and ids."""
        from bridge.readers.medtronic_stick.redact import redacted

        return redacted(capture, names)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass, under 150 s, over the pumps that are due. The memory's state says what is new, not `since`."""
        if self._setup.usb is None:
            raise ContractViolation("The reader of the CareLink stick was asked to read without USB.")
        stop_at = self._clock.monotonic() + _LAST_ASK_S
        sticks, health = await self._sticks(self._setup.usb)
        due = [serial for serial in self._settings.devices if not self._hold(serial, memory)]
        if not sticks:
            yield self._batch(health, self._clock.now() + _SOON)
        elif not due:
            yield self._waiting(memory)
        for serial in due if sticks else ():
            if serial != due[0] and self._clock.monotonic() > stop_at - _LEAST_S:
                yield self._batch(Health(State.INCOMPLETE, "The next pump is read in a minute."), self._due())
                return
            for stick in sticks:
                async with aclosing(self._pump(self._setup.usb, stick, serial, memory, stop_at)) as batches:
                    async for batch in batches:
                        memory = _recalled(memory, batch.decoded)
                        yield batch
                if self._attempts[serial].health.state is not State.OUT_OF_RANGE:
                    break

    # --- what is plugged in, what is due -----------------------------------------------------------------

    async def _sticks(self, bus: UsbBus) -> tuple[list[UsbDevice], Health]:
        """The sticks there are; none, and why, where nothing can be read."""
        try:
            plugged = await bus.devices()
        except _EXPECTED as error:
            return [], _health(error)
        sticks = [device for device in plugged if any(kind.fits(device) for kind in self.plugs)]
        if not sticks:
            return [], Health(State.NO_DEVICE, "No CareLink USB stick is plugged in.")
        if not self._settings.devices:
            text = (
                "A CareLink USB stick is plugged in, but no pump is named. Put its six-digit serial into `devices`."
            )
            return [], Health(State.DEVICE_UNBOUND, text)
        return sticks, Health()

    def _hold(self, serial: str, memory: Memory) -> timedelta:
        """How long this pump's radio must still be left alone; zero when it may be read."""
        holds = [timedelta()]
        tried = self._attempts.get(serial)
        if tried is not None and tried.health.state not in _STICK_TROUBLE:
            holds.append(_FLOOR - timedelta(seconds=self._clock.monotonic() - tried.at))
        kept = _kept(memory, serial)
        try:
            passed = self._clock.now() - parse_instant(kept.get("read_at"))
        except ValueError:
            return max(holds)
        if passed >= timedelta():
            interval = timedelta(minutes=self._settings.effective_min)
            long = kept.get("complete") is True and interval > _ENGINE_ASKS
            holds.append((interval if long else _FLOOR) - passed)
        return max(holds)

    def _waiting(self, memory: Memory) -> Batch:
        """Nothing may be read yet: the last pass's health stands."""
        holds = {serial: self._hold(serial, memory) for serial in self._settings.devices}
        first = min(holds, key=lambda serial: holds[serial])
        minutes = -(-holds[first] // timedelta(minutes=1))
        tried = self._attempts.get(first)
        health = tried.health if tried is not None else Health()
        text = f"{health.text} The pump's radio is used again in {minutes} min: every read costs its battery."
        return self._batch(Health(health.state, text.strip()), self._clock.now() + holds[first])

    def _due(self) -> datetime:
        """When the first of the pumps is due; now for one that this process did not try."""
        now = self._clock.now()
        return min((self._next.get(serial, now) for serial in self._settings.devices), default=now)

    # --- one pump ----------------------------------------------------------------------------------------

    async def _pump(
        self, bus: UsbBus, stick: UsbDevice, serial: str, memory: Memory, stop_at: float
    ) -> AsyncGenerator[Batch, None]:
        sync: Sync | None = None
        done = 0
        try:
            async with bus.open(stick, VENDOR_CLASS) as port:
                radio = Stick(port, self._clock)
                await radio.open()
                pump = Pump(radio, serial, self._clock, stop_at)
                sync = Sync(pump, serial, self._clock, _kept(memory, serial), self._settings.isig)
                await sync.begin()
                async with aclosing(sync.pieces(self._setup.progress)) as pieces:
                    async for reading in pieces:
                        done += 1
                        batch = self._read(sync, reading, memory, self._progress(sync))
                        memory = _recalled(memory, batch.decoded)
                        yield batch
        except _EXPECTED as error:
            yield self._ended(sync, serial, memory, _health(error))
            return
        if not done:
            yield self._ended(sync, serial, memory, Health(State.INCOMPLETE, "There was no time to read the pump."))

    def _ended(self, sync: Sync | None, serial: str, memory: Memory, health: Health) -> Batch:
        """The read broke off: what is whole goes on, the rest is read again."""
        if sync is not None and sync.reading is not None:
            return self._read(sync, sync.reading, memory, health)
        return self._batch(health, self._tried(serial, health, complete=False))

    def _read(self, sync: Sync, reading: Reading, memory: Memory, health: Health) -> Batch:
        capture = self._capture(reading)
        due = self._tried(reading.serial, health, complete=sync.complete)
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            return replace(self._batch(_health(error), due), capture=capture)
        if health.state is State.OK and decoded.health.state is not State.OK:
            health = decoded.health
        decoded = self._completed(sync, decoded, memory, health)
        covered = _covered(decoded, self._clock.now()) if sync.complete else None
        return replace(self._batch(health, due), decoded=decoded, capture=capture, covered=covered)

    def _completed(self, sync: Sync, decoded: Decoded, memory: Memory, health: Health) -> Decoded:
        """The decoder's word with what the next pass must know, and what could not be read."""
        kept = {**sync.kept(), "complete": sync.complete}
        if health.state in _STICK_TROUBLE:
            del kept["read_at"]
        io = {**_io(memory), sync.serial: kept}
        lost = [Diagnostic("page_lost", f"{page} could not be read and is given up.") for page in sync.given_up]
        radio = [Diagnostic("radio", sync.radio)] if sync.radio else []
        diagnostics = (*decoded.diagnostics, *lost, *radio)
        return replace(decoded, state={**decoded.state, "io": io}, diagnostics=diagnostics, health=health)

    def _capture(self, reading: Reading) -> Capture:
        zone = {"timezone": self._setup.timezone} if self._setup.timezone else {}
        wall, host = iso_wall(clock_of(reading.clock)), iso_ms(reading.host_utc)
        context = {**zone, "model": reading.model, "pump_clock": wall, "host_clock": host}
        feed = f"medtronic:{reading.serial}"
        return Capture(self._setup.profile, NAME, feed, self._clock.now(), reading.body(), context)

    def _progress(self, sync: Sync) -> Health:
        if not sync.complete:
            text = f"{sync.missing} older pages of the pump are still to be read; that goes on by itself."
            return Health(State.INCOMPLETE, text)
        asked, given = self._settings.interval_min, self._settings.effective_min
        raised = f"Read every {given} min instead of {asked}: every read costs the pump's battery."
        return Health(State.OK, raised if given != asked else "")

    def _tried(self, serial: str, health: Health, *, complete: bool) -> datetime:
        """Remember how it went; when this pump is due again, or another one before it."""
        self._attempts[serial] = _Attempt(self._clock.monotonic(), health)
        wait = timedelta(minutes=self._settings.effective_min) if complete else _FLOOR
        self._next[serial] = self._clock.now() + (_SOON if health.state in _STICK_TROUBLE else wait)
        return self._due()

    def _batch(self, health: Health, next_due: datetime) -> Batch:
        return Batch(self._setup.profile, NAME, next_due, health)


def _recalled(memory: Memory, decoded: Decoded | None) -> Memory:
    """The memory as the journal has it once this batch is durable."""
    return memory if decoded is None else Memory({**memory.sightings, **decoded.sightings}, decoded.state)


def _io(memory: Memory) -> Mapping[str, Any]:
    kept = memory.state.get("io")
    return kept if isinstance(kept, Mapping) else {}


def _kept(memory: Memory, serial: str) -> Mapping[str, Any]:
    kept = _io(memory).get(serial)
    return kept if isinstance(kept, Mapping) else {}


def _covered(decoded: Decoded, now: datetime) -> Interval | None:
    start = min((record.time for record in decoded.records), default=now)
    return Interval(start, now) if start < now else None


def _health(error: BridgeError) -> Health:
    return Health(State.named(error.state), str(error))
