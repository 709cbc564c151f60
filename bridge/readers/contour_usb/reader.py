"""The reader: each bound meter that is plugged in is read whole and decoded; outages end as a named state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from bridge.contracts import (
    Batch,
    Decoded,
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
    Transient,
)
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.pseudonym import Pseudonyms
from bridge.model.time import iso_ms, iso_wall
from bridge.readers.contour_usb import log
from bridge.readers.contour_usb.decode import decode
from bridge.readers.contour_usb.header import Header
from bridge.readers.contour_usb.link import Conversation, Transfer
from bridge.readers.contour_usb.making import FAMILY, feed
from bridge.readers.contour_usb.redact import redacted

NAME = "contour-usb"
HID = 3
_VENDOR = 0x1A79
_AFTER_GOOD = timedelta(hours=1)
_AFTER_NOTHING = timedelta(minutes=10)
_AFTER_OUTAGE = timedelta(minutes=1)
_AFTER_REST = timedelta(seconds=15)
_EXPECTED = (Transient, DeviceUnreachable, Forbidden, Incompatible, Malformed)
_FRAMES_BEFORE_RESULTS = 2
_NO_DEVICE = Health(State.NO_DEVICE, "No Contour meter is plugged in.")
_UNBOUND = Health(State.DEVICE_UNBOUND, "A Contour meter is plugged in that belongs to nobody here yet. Bind it.")


class ContourUsbSettings(BaseModel):
    """Which meters are this person's, by serial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: list[str] = []


@dataclass(frozen=True, slots=True)
class _Session:
    """A meter read whole, and what its clock said where the header did not."""

    header: Header
    asked_clock: datetime | None


class ContourUsbReader:
    """Reads the stored results of Contour meters that are plugged in."""

    name = NAME
    file_feed = "contour"
    Settings: ClassVar[type[BaseModel]] = ContourUsbSettings
    linking: ClassVar[None] = None
    plugs: ClassVar[Sequence[UsbKind]] = (UsbKind(_VENDOR, None, HID),)

    def __init__(self, setup: Setup) -> None:
        self._setup, self._clock = setup, setup.clock
        self._bound = frozenset(ContourUsbSettings.model_validate(dict(setup.settings)).devices)

    @classmethod
    async def recognise(cls, port: UsbPort, device: UsbDevice) -> Recognised:
        """The meter's name and serial, from its greeting."""
        header = await Conversation(port, lambda: datetime.now(UTC)).identify()
        return Recognised(FAMILY, header.name, header.serial, Health())

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a transfer's frames (text log or raw bytes). Pure. Raises Malformed for anything else."""
        return decode(capture, memory)

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same transfer with made-up serials."""
        return redacted(capture, names)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass: a batch for each bound meter. A meter always sends all it has, so `since` changes nothing."""
        if self._setup.usb is None:
            raise ContractViolation("The Contour reader was asked to read without a USB bus.")
        try:
            plugged = [each for each in await self._setup.usb.devices() if self.plugs[0].fits(each)]
        except _EXPECTED as error:
            yield self._failed(error)
            return
        told, strangers = False, set[str]()
        for device in plugged:
            batch = await self._visit(self._setup.usb, device, memory)
            if isinstance(batch, Header):
                strangers.add(batch.serial)
                continue
            told = True
            yield batch
            if batch.decoded is not None:
                memory = replace(memory, state=batch.decoded.state)
        if not told:
            nobodys = strangers - self._setup.bound_elsewhere
            yield self._batch(_UNBOUND if nobodys else _NO_DEVICE, _AFTER_NOTHING)

    async def _visit(self, bus: UsbBus, device: UsbDevice, memory: Memory) -> Batch | Header:
        """One meter's batch; the header alone of a meter that is not this person's."""
        transfer = Transfer()
        try:
            async with bus.open(device, HID) as port:
                talk = Conversation(port, self._clock.now, lambda frames: self._told(talk, frames))
                transfer = talk.transfer
                session = await self._session(talk)
        except _EXPECTED as error:
            return self._failed(error, transfer)
        if isinstance(session, Header):
            return session
        return self._read(self._capture(transfer, session.header, session.asked_clock), memory)

    async def _session(self, talk: Conversation) -> _Session | Header:
        """The whole transfer, or the header alone of a meter that is not bound."""
        header = await talk.greet()
        if header is not None and header.serial not in self._bound:
            await talk.leave()
            return header
        asked = await talk.read_clock() if header is not None and header.clock is None else None
        taken = await talk.take()
        return _Session(taken, asked) if taken.serial in self._bound else taken

    def _told(self, talk: Conversation, frames: int) -> None:
        header = talk.transfer.header
        total = (header.count if header else None) or 0
        self._setup.progress("results", min(max(frames - _FRAMES_BEFORE_RESULTS, 0), total), total)

    def _read(self, capture: Capture, memory: Memory) -> Batch:
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            return replace(self._failed(error), capture=capture)
        if decoded.health.state is State.INCOMPLETE:
            return replace(self._batch(decoded.health, _AFTER_OUTAGE), capture=capture)
        batch = self._batch(decoded.health, _AFTER_GOOD)
        covered = _covered(decoded, capture.taken_at)
        return replace(batch, decoded=decoded, capture=capture, covered=covered)

    def _capture(self, transfer: Transfer, header: Header, asked_clock: datetime | None) -> Capture:
        shown = header.clock or asked_clock
        context = {
            "model": header.name,
            "timezone": self._setup.timezone,
            "host_clock": iso_ms(transfer.header_at) if transfer.header_at else None,
            "meter_clock": iso_wall(shown) if shown else None,
        }
        said = {name: value for name, value in context.items() if value}
        body = log.written(transfer.frames)
        return Capture(self._setup.profile, NAME, feed(header.serial), self._clock.now(), body, said)

    def _failed(self, error: BridgeError, transfer: Transfer | None = None) -> Batch:
        """An outage. What came before it is kept as a capture, of a bound meter only."""
        state = State.named(error.state)
        wait = _AFTER_REST if state is State.METER_RESTING else _AFTER_OUTAGE
        if isinstance(error, (Forbidden, Incompatible)):
            wait = _AFTER_NOTHING
        batch = self._batch(Health(state, str(error)), wait)
        header = transfer.header if transfer else None
        if transfer is None or header is None or header.serial not in self._bound:
            return batch
        return replace(batch, capture=self._capture(transfer, header, None))

    def _batch(self, health: Health, wait: timedelta) -> Batch:
        return Batch(self._setup.profile, NAME, self._clock.now() + wait, health)


def _covered(decoded: Decoded, until: datetime) -> Interval | None:
    """A meter's memory speaks for all time since its oldest result."""
    times = [record.time for record in decoded.records]
    return Interval(min(times), until) if times and min(times) < until else None
