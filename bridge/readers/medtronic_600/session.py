"""One session with a meter and the pump behind it, by named stages; whatever happens, it is closed in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import IntEnum
from types import TracebackType

from bridge.contracts.ports import UsbPort
from bridge.contracts.setup import Clock
from bridge.errors import (
    BridgeError,
    ContractViolation,
    DeviceUnreachable,
    Incompatible,
    Malformed,
    Transient,
)
from bridge.readers.medtronic_600 import crypto
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.readers.medtronic_600.meter import QUIET_S, Meter
from bridge.readers.medtronic_600.ngp import Joined
from bridge.readers.medtronic_600.radio import Radio
from bridge.readers.medtronic_600.talk import Talk

_SETTLE_S = {"incomplete": 25.0, "malformed": 25.0, "pump_busy": 25.0}
"""After these failures more may be on its way: unread messages are what makes a meter fail."""

_PUMP_LOST = frozenset(("out_of_range", "not_linked", "meter_error"))
"""After these the pump is not told goodbye: it would not hear it."""


class Stage(IntEnum):
    """How far a session is; closing undoes each stage in turn."""

    RESTING = 0
    AWAKE = 1
    """The meter has said who it is."""
    IN_CONTROL = 2
    WAY_OPEN = 3
    """Messages go through to the meter's radio."""
    RADIO_OPEN = 4
    JOINED = 5
    """The pump answers on a channel."""
    TALKING = 6
    CLOSED = 7


class Session:
    """`async with Session(port, clock) as session:` then `identify`, `join`, and talk by `talk`."""

    def __init__(self, port: UsbPort, clock: Clock) -> None:
        self._clock = clock
        self._meter = Meter(port)
        self._radio: Radio | None = None
        self.stage = Stage.RESTING
        self.talk: Talk | None = None

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(error)

    async def identify_meter(self) -> MeterInfo:
        """Who the meter is. Raises DeviceUnreachable (`meter_error`)."""
        # Closing begins with what may have been started, not with what is known to have worked.
        self.stage = Stage.AWAKE
        return await self._meter.wake()

    async def identify_pump(self, info: MeterInfo) -> str:
        """Serial of the pump that the meter is linked to. Raises DeviceUnreachable (`not_linked`)."""
        self.stage = Stage.IN_CONTROL
        await self._meter.take_control()
        self.stage = Stage.WAY_OPEN
        await self._meter.way_through(opened=True)
        radio = self._radio = Radio(self._meter, info, self._clock.monotonic)
        self.stage = Stage.RADIO_OPEN
        await radio.open()
        link = await radio.link()
        try:
            return crypto.serial_of(link.pump_mac)
        except Malformed as error:
            raise Incompatible(str(error), state="wrong_device") from None

    async def join(self, channels: Iterable[int]) -> Joined:
        """Meet the pump and begin to talk. Raises DeviceUnreachable (`out_of_range`, `not_linked`)."""
        if self._radio is None:
            raise ContractViolation("A pump was to be met before its meter was asked for it.")
        key = await self._radio.key()
        found = await self._radio.join(key, channels)
        self.stage = Stage.JOINED
        self.talk = Talk(self._radio, self._clock)
        self.stage = Stage.TALKING
        await self._radio.high_speed(on=True)
        return found

    # --- closing -------------------------------------------------------------------------------------

    async def _close(self, error: BaseException | None) -> None:
        """Undo what was begun, last things first. A device that is gone is not talked to."""
        if not gone(error):
            for stage, undo in self._undoing(error):
                if self.stage >= stage and not await _done(undo):
                    break
        self.stage = Stage.CLOSED

    def _undoing(self, error: BaseException | None) -> list[tuple[Stage, Callable[[], Awaitable[None]]]]:
        meter, radio = self._meter, self._radio
        steps: list[tuple[Stage, Callable[[], Awaitable[None]]]] = [(Stage.AWAKE, meter.drain)]
        if radio is not None:
            quiet_s = _SETTLE_S.get(error.state, QUIET_S) if isinstance(error, BridgeError) else QUIET_S
            steps.append((Stage.RADIO_OPEN, lambda: radio.settle(quiet_s)))
            if not isinstance(error, BridgeError) or error.state not in _PUMP_LOST:
                steps.append((Stage.TALKING, lambda: radio.high_speed(on=False)))
            steps.append((Stage.RADIO_OPEN, radio.close))
        steps.append((Stage.WAY_OPEN, lambda: meter.way_through(opened=False)))
        steps.append((Stage.AWAKE, meter.leave))
        return steps


def gone(error: BaseException | None) -> bool:
    """Whether the failure was the plug."""
    return isinstance(error, BridgeError) and error.state == "unplugged"


async def _done(undo: Callable[[], Awaitable[None]]) -> bool:
    """Do one step of closing; a failed one does not keep the next from being done. False once the plug is out."""
    try:
        await undo()
    except (DeviceUnreachable, Transient, Malformed) as error:
        return not gone(error)
    return True
