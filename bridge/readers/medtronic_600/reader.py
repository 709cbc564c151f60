"""The reader: one pass visits each bound pump through its meter; outages end as a named state."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from bridge.contracts import Batch, Decoded, Diagnostic, Interval, Memory, Setup
from bridge.contracts.ports import Recognised, UsbBus, UsbDevice, UsbKind, UsbPort
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
from bridge.model.time import iso_ms
from bridge.readers.medtronic_600 import phase
from bridge.readers.medtronic_600.comd import Comd
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.readers.medtronic_600.phase import Rhythm
from bridge.readers.medtronic_600.recall import KINDS, Recall
from bridge.readers.medtronic_600.settings import Medtronic600Settings
from bridge.readers.medtronic_600.visit import Findings, Visit

NAME = "medtronic-600"
HID = 3
_METER = "Contour Next Link 2.4"
_FAMILY = "MiniMed 600 series"
_WARM_UP_S = 5.0
_RECOGNISE_S = 10.0
_WEAK_PCT = 20
_MANY_MISSES = 10
_EXPECTED = (DeviceUnreachable, Transient, Forbidden, Refused, Incompatible, Malformed)
_NEEDED = frozenset(f"{answer:04x}" for answer in (Comd.TIME, Comd.PUMP_STATUS))


@dataclass(slots=True)
class _Known:
    """What this process knows of a plugged-in meter; a restart may lose it."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    ended_at: float | None = None
    """When the last visit over the radio ended, on the monotonic clock."""
    unreached: int = 0
    """Visits in a row that found no pump."""


class Medtronic600Reader:
    """Reads MiniMed 620G to 670G pumps through the Contour Next Link 2.4 that they are linked with."""

    name = NAME
    file_feed = "medtronic"
    Settings: ClassVar[type[BaseModel]] = Medtronic600Settings
    linking: ClassVar[None] = None
    plugs: ClassVar[Sequence[UsbKind]] = (UsbKind(0x1A79, 0x6210, HID),)

    def __init__(self, setup: Setup) -> None:
        self._setup, self._clock = setup, setup.clock
        self._settings = Medtronic600Settings.model_validate(setup.settings)
        self._known: dict[tuple[str, int], _Known] = {}
        self._stranger = False

    @classmethod
    async def recognise(cls, port: UsbPort, device: UsbDevice) -> Recognised:
        """The pump behind the meter, by its serial; the meter's own where it is linked to none."""
        from bridge.readers.medtronic_600.session import Session, gone

        meter: MeterInfo | None = None
        try:
            async with asyncio.timeout(_RECOGNISE_S), Session(port, _ProcessClock()) as session:
                meter = await session.identify_meter()
                pump = await session.identify_pump(meter)
        except TimeoutError:
            return Recognised(_FAMILY, _METER, None, Health(State.named("meter_error"), "The meter is too slow."))
        except (DeviceUnreachable, Incompatible) as error:
            if gone(error):
                raise
            return Recognised(_FAMILY, _METER, _printed(meter), health_of(error))
        return Recognised(_FAMILY, f"pump behind a {_METER}", pump, Health())

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a capture. Pure. Raises Malformed for what is not this reader's."""
        from bridge.readers.medtronic_600.decode import decode

        decoded = decode(capture, memory)
        kept = memory.state.get("io")
        return decoded if kept is None else replace(decoded, state={**decoded.state, "io": kept})

    def redacted(self, capture: Capture, names: Pseudonyms) -> Capture:
        """The same visit with made-up serials."""
        from bridge.readers.medtronic_600.redact import redacted

        return redacted(capture, names)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass: a batch for each bound pump in reach. What to ask follows from the memory, not from `since`."""
        bus = self._setup.usb
        if bus is None:
            raise ContractViolation("The 600-series reader was asked to read without USB.")
        try:
            found = [device for device in await bus.devices() if any(kind.fits(device) for kind in self.plugs)]
        except _EXPECTED as error:
            yield self._outage(error, Rhythm())
            return
        told = self._stranger = False
        for device in found:
            batch = await self._visited(bus, device, memory)
            if batch is not None:
                told = True
                yield batch
                memory = _carried(memory, batch)
        if not told:
            yield self._nothing(self._stranger)

    async def _visited(self, bus: UsbBus, device: UsbDevice, memory: Memory) -> Batch | None:
        """The batch of one device; None when it is not bound to this profile."""
        key = device.place, device.attached
        if key not in self._known:
            await self._clock.sleep(_WARM_UP_S)
        known = self._known.setdefault(key, _Known())
        await self._keep_distance(known)
        findings, recalls = Findings(), _recalls(memory)
        failure = await self._pay_visit(bus, device, known, findings, recalls)
        if failure is None and findings.pump is None:
            return None
        if findings.pump is not None:
            known.ended_at = self._clock.monotonic()
        return self._batch(known, findings, failure, _remembering(memory, recalls))

    async def _pay_visit(
        self, bus: UsbBus, device: UsbDevice, known: _Known, findings: Findings, recalls: dict[str, Recall]
    ) -> BridgeError | None:
        """Go there; what went wrong is the answer, what came back whole is in `findings` and `recalls`."""
        from bridge.readers.medtronic_600.session import Session

        unreached = known.unreached > 0
        try:
            async with bus.open(device, HID) as port, Session(port, self._clock) as session:
                await Visit(
                    session=session,
                    clock=self._clock,
                    findings=findings,
                    bound=self._bound,
                    recall=lambda pump: recalls.setdefault(pump, Recall()),
                    history_days=self._settings.history_days,
                    progress=self._setup.progress,
                    near_slot=lambda _: unreached and phase.near_slot(self._clock.now(), known.rhythm),
                ).pay()
        except _EXPECTED as error:
            return error
        return None

    def _bound(self, meter: MeterInfo, pump: str) -> bool:
        """Whether the pump is this person's; one that is nobody's is remembered."""

        def among(names: Iterable[str]) -> bool:
            return any(name.upper() == pump or meter.named(name) for name in names)

        mine = among(self._settings.devices)
        self._stranger = self._stranger or not (mine or among(self._setup.bound_elsewhere))
        return mine

    async def _keep_distance(self, known: _Known) -> None:
        """Not more often than the pump bears, and not in the moment at which its sensor speaks."""
        if known.ended_at is not None:
            wait_s = phase.FLOOR_S - (self._clock.monotonic() - known.ended_at)
            if wait_s > 0:
                await self._clock.sleep(wait_s)
        wait_s = phase.hold_s(self._clock.now(), known.rhythm)
        if wait_s > 0:
            await self._clock.sleep(wait_s)

    # --- what came of it -----------------------------------------------------------------------------

    def _batch(self, known: _Known, findings: Findings, failure: BridgeError | None, memory: Memory) -> Batch:
        now = self._clock.now()
        known.rhythm = _rhythm(known.rhythm, findings)
        known.unreached = known.unreached + 1 if failure is not None and failure.state == "out_of_range" else 0
        due = phase.after_visit(now, known.rhythm)
        if failure is not None:
            due = phase.after_failure(now, failure.state, known.rhythm)
        health = Health() if failure is None else _told(failure, known.unreached)
        bare = Batch(self._setup.profile, NAME, due, health)
        return self._decoded(bare, findings, memory) if findings.answers.keys() >= _NEEDED else bare

    def _decoded(self, bare: Batch, findings: Findings, memory: Memory) -> Batch:
        recall = _recalls(memory).get(findings.pump or "", Recall())
        capture = self._capture(findings, recall.model)
        try:
            decoded = self.decode(capture, memory)
        except Malformed as error:
            due = phase.after_failure(self._clock.now(), error.state, Rhythm())
            return replace(bare, capture=capture, health=health_of(error), next_due=due)
        health = bare.health if bare.health.state is not State.OK else decoded.health
        diagnostics = (*decoded.diagnostics, *_signal_note(findings))
        decoded = replace(decoded, health=health, diagnostics=diagnostics)
        return replace(bare, capture=capture, decoded=decoded, health=health, covered=_covered(findings, recall))

    def _capture(self, findings: Findings, model: str) -> Capture:
        pump, told_at = findings.pump or "", findings.told_at or self._clock.now()
        body = {
            "pump": pump,
            "model": model,
            "meter": _printed(findings.meter),
            "host_utc": iso_ms(told_at),
            "answers": findings.answers,
            "history": {kind: findings.history.get(kind, []) for kind in KINDS},
        }
        context = {"model": model, "host_clock": iso_ms(told_at)}
        if self._setup.timezone:
            context["timezone"] = self._setup.timezone
        raw = json.dumps(body, separators=(",", ":")).encode()
        return Capture(self._setup.profile, NAME, f"medtronic:{pump}", self._clock.now(), raw, context)

    def _outage(self, error: BridgeError, rhythm: Rhythm) -> Batch:
        due = phase.after_failure(self._clock.now(), error.state, rhythm)
        return Batch(self._setup.profile, NAME, due, health_of(error))

    def _nothing(self, unbound: bool) -> Batch:
        if unbound:
            text = f"The {_METER} that is plugged in belongs to nobody here yet. Bind it: `glucobridge devices`."
            return self._outage(DeviceUnreachable(text, state="device_unbound"), Rhythm())
        return self._outage(DeviceUnreachable(f"No {_METER} is plugged in.", state="no_device"), Rhythm())


class _ProcessClock:
    """The machine's own time, for the one question that is asked without a setup."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def health_of(error: BridgeError) -> Health:
    """The state and sentence of an outage."""
    return Health(State.named(error.state), str(error))


def _told(error: BridgeError, unreached: int) -> Health:
    if unreached < _MANY_MISSES:
        return health_of(error)
    again = f"{unreached} visits in a row found no pump: if both are near each other, link the meter again."
    return Health(State.named(error.state), f"{error} {again}")


def _printed(meter: MeterInfo | None) -> str | None:
    return (meter.serial or meter.model_serial) if meter is not None else None


def _recalls(memory: Memory) -> dict[str, Recall]:
    kept = memory.state.get("io")
    pumps: Any = kept.get("pumps") if isinstance(kept, Mapping) else None
    return {pump: Recall.restore(each) for pump, each in pumps.items()} if isinstance(pumps, Mapping) else {}


def _remembering(memory: Memory, recalls: Mapping[str, Recall]) -> Memory:
    """The memory with what the visit learnt, to be stored with its records or not at all."""
    pumps = {pump: recall.dump() for pump, recall in recalls.items()}
    return Memory(memory.sightings, {**memory.state, "io": {"pumps": pumps}})


def _carried(memory: Memory, batch: Batch) -> Memory:
    """The memory after a batch, for the next device of the same pass."""
    if batch.decoded is None:
        return memory
    return Memory({**memory.sightings, **batch.decoded.sightings}, batch.decoded.state)


def _rhythm(before: Rhythm, findings: Findings) -> Rhythm:
    seen, told_at = findings.seen, findings.told_at
    if seen is None or told_at is None:
        return before
    if not seen.sensor_on:
        return Rhythm(low_battery=seen.low_battery)
    age_s = findings.now_rtc - seen.sensor_rtc
    sensor_at = told_at - timedelta(seconds=age_s) if seen.sensor_rtc else before.sensor_at
    misses = 0 if seen.fresh(findings.now_rtc) else before.misses + 1
    return Rhythm(sensor_at, seen.warming_up, seen.low_battery, misses)


def _covered(findings: Findings, recall: Recall) -> Interval | None:
    """What is known whole of both histories up to the newest, by our clock; None when nothing was read now."""
    newest = [recall.covered[kind][-1] for kind in KINDS if recall.covered.get(kind)]
    told_at = findings.told_at
    if not findings.read or told_at is None or len(newest) < len(KINDS):
        return None
    bounds = max(low for low, _ in newest), min(high for _, high in newest)
    start, end = (told_at - timedelta(seconds=findings.now_rtc - rtc) for rtc in bounds)
    return Interval(start, end) if start < end else None


def _signal_note(findings: Findings) -> tuple[Diagnostic, ...]:
    joined = findings.joined
    if joined is None or joined.rssi_pct >= _WEAK_PCT:
        return ()
    return (Diagnostic("weak_signal", f"The pump's radio is weak here ({joined.rssi_pct} %)."),)
