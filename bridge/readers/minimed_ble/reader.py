"""The reader: a pass waits for the bound pump, reads its status and new history, and ends with a named state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bridge.contracts import Batch, Decoded, Memory, Setup
from bridge.errors import (
    BridgeError,
    DeviceUnreachable,
    Incompatible,
    Malformed,
    Refused,
    SettingsInvalid,
    Transient,
    Unauthorised,
)
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.pseudonym import Pseudonyms
from bridge.model.time import iso_ms
from bridge.readers.minimed_ble import keys, uuids
from bridge.readers.minimed_ble.decode import decode
from bridge.readers.minimed_ble.keys import KeyDatabase
from bridge.readers.minimed_ble.link import PumpRadio
from bridge.readers.minimed_ble.making import NAME, feed
from bridge.readers.minimed_ble.redaction import redacted
from bridge.readers.minimed_ble.talk import Talk
from bridge.wire import gatt_lines

INTERVAL = timedelta(minutes=5)
_SOON = timedelta(minutes=1)
_EXPECTED = (Transient, DeviceUnreachable, Unauthorised, Incompatible, Refused, Malformed, SettingsInvalid)
_TELLING = frozenset((uuids.STATUS, uuids.HISTORY))
_NO_KEYS = Health(
    State.NOT_LINKED, "There is no key database for the pump, so its Bluetooth link stays off. See the manual."
)
_NOBODY = Health(State.NO_DEVICE, "No pump of this person came.")
_UNBOUND = Health(State.DEVICE_UNBOUND, "A pump came that belongs to nobody here yet. Bind it.")


class MinimedBleSettings(BaseModel):
    """Which pump is this person's, where the owner's key database is, and which dongle is the pump's alone.

    The bond with the pump is kept beside the key database.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: list[str] = []
    keys: str | None = None
    radio: str = "usb:0"
    wait_s: Annotated[float, Field(gt=0, le=600)] = 60.0


class MinimedBleReader:
    """Reads pumps of the 700 series as a phone would, without ever sending a command. Experimental."""

    name = NAME
    file_feed = "medtronic"
    Settings: ClassVar[type[BaseModel]] = MinimedBleSettings
    linking: ClassVar[None] = None

    def __init__(self, setup: Setup, radio: PumpRadio | None = None) -> None:
        self._setup, self._clock, self._radio = setup, setup.clock, radio
        self._settings = MinimedBleSettings.model_validate(dict(setup.settings))

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of characteristic values as text, one a line. Pure. Raises Malformed for anything else."""
        return decode(capture, memory)

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same read with a made-up serial."""
        return redacted(capture, names)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass, one batch. `since` changes nothing: a pump is asked by the numbers of its history."""
        if self._settings.keys is None:
            yield self._batch(_NO_KEYS, INTERVAL)
            return
        try:
            database, radio = self._opened(self._settings.keys)
        except _EXPECTED as error:
            yield self._batch(_health(error), INTERVAL)
            return
        yield await self._visit(radio, database, memory)

    def _opened(self, told: str) -> tuple[KeyDatabase, PumpRadio]:
        path = Path(told).expanduser()
        return keys.load(path), self._radio or _radio(self._settings.radio, path)

    async def _visit(self, radio: PumpRadio, database: KeyDatabase, memory: Memory) -> Batch:
        """What came before an outage is decoded like a whole read."""
        talk: Talk | None = None
        serial: str | None = None
        try:
            async with radio.connect(database, self._settings.wait_s) as link:
                talk = Talk(link, self._clock, self._setup.progress)
                serial = await talk.introduce()
                if serial is None or serial not in self._settings.devices:
                    known = serial in self._setup.bound_elsewhere
                    return self._batch(_NOBODY if known else _UNBOUND, _SOON)
                await talk.look()
                await talk.fetch(_from(memory, serial))
        except _EXPECTED as error:
            return self._broken_off(serial, talk, error, memory)
        return self._read(self._capture(serial, talk, "yes"), memory)

    def _broken_off(self, serial: str | None, talk: Talk | None, error: BridgeError, memory: Memory) -> Batch:
        if talk is None or serial is None or not any(value.uuid in _TELLING for value in talk.values):
            return self._batch(_health(error), _SOON)
        return self._read(self._capture(serial, talk, "no"), memory)

    def _read(self, capture: Capture, memory: Memory) -> Batch:
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            return replace(self._batch(_health(error), _SOON), capture=capture)
        wait = _SOON if decoded.health.state is State.INCOMPLETE else INTERVAL
        return replace(self._batch(decoded.health, wait), decoded=decoded, capture=capture)

    def _capture(self, serial: str, talk: Talk, complete: str) -> Capture:
        context = {
            "timezone": self._setup.timezone,
            "host_clock": iso_ms(talk.host or self._clock.now()),
            "complete": complete,
        }
        said = {name: value for name, value in context.items() if value}
        body = gatt_lines.written(talk.values)
        return Capture(self._setup.profile, NAME, feed(serial), self._clock.now(), body, said)

    def _batch(self, health: Health, wait: timedelta) -> Batch:
        return Batch(self._setup.profile, NAME, self._clock.now() + wait, health)


def _radio(transport: str, path: Path) -> PumpRadio:
    """The dongle; the stack behind it is only loaded for this."""
    try:
        from bridge.readers.minimed_ble.bonds import Bonds
        from bridge.readers.minimed_ble.radio import BumbleRadio, dongle
    except ImportError:
        raise Incompatible(
            "Bluetooth support for pumps is not installed.",
            next_step="Install glucobridge[pump-ble].",
            state="ble_unavailable",
        ) from None
    return BumbleRadio(dongle(transport), Bonds(path.with_name(path.name + ".bond")))


def _health(error: BridgeError) -> Health:
    return Health(State.named(error.state), str(error))


def _from(memory: Memory, serial: str) -> int | None:
    """From which number on this pump's history is not known."""
    pumps = memory.state.get("pumps")
    known: Any = pumps.get(feed(serial)) if isinstance(pumps, Mapping) else None
    found = known.get("from") if isinstance(known, Mapping) else None
    return found if isinstance(found, int) else None
