"""Virtual Bluetooth devices by the names that a person uses, with a virtual patient's life going on in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.simulators.ble import values
from bridge.simulators.ble.air import Air
from bridge.simulators.ble.meter import Model, Stick, VirtualMeter
from bridge.simulators.ble.peripheral import Security
from bridge.simulators.patient import Calibration, FingerStick, VirtualPatient

Now = Callable[[], datetime]
DAYS = 7
"""How far back a virtual meter remembers."""
PASSKEY = 123456
"""The code that every virtual meter shows."""
ON_S, BETWEEN_TESTS_S = 180.0, 20 * 60.0
"""How long a meter stays on after a test, and from one test to the next."""
_FIRST_ADDRESS = 0xC00000000001
_LOWEST_MGDL, _HIGHEST_MGDL = 20, 600


@dataclass(frozen=True, slots=True)
class Built:
    """A virtual device: who reads it, and the serial that it is bound by."""

    device: LivingMeter
    reader: str
    serial: str


class LivingMeter(VirtualMeter):
    """A Contour Next One on a patient's table: it remembers their finger-sticks, and they test with it by and by."""

    def __init__(self, air: Air, address: str, patient: VirtualPatient, now: Now, security: Security) -> None:
        self._patient, self._now, self._zone = patient, now, ZoneInfo(patient.zone)
        model = Model(clock="contour", utc_offset_min=self._offset_min())
        super().__init__(air, address, self._wall, model, security=security, passkey=PASSKEY)
        for event in patient.events(now() - timedelta(days=DAYS), now()):
            if isinstance(event, FingerStick | Calibration):
                self._store(event.time, event.mgdl)

    async def live(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Switched on by a test, soon off again by itself; until cancelled. `sleep` takes seconds of this life."""
        while True:
            await self.switch_on()
            await sleep(ON_S)
            await self.switch_off()
            await sleep(BETWEEN_TESTS_S - ON_S)
            self._store(self._now(), round(self._patient.glucose_mgdl(self._now())))

    def _store(self, time: datetime, mgdl: int) -> None:
        wall, number = self._wall(time), len(self.sticks) + 1
        shown = min(max(mgdl, _LOWEST_MGDL), _HIGHEST_MGDL)
        self.sticks.append(Stick(number, wall, values.glucose(number, wall, shown, offset_min=0)))

    def _wall(self, time: datetime | None = None) -> datetime:
        return (time or self._now()).astimezone(self._zone).replace(tzinfo=None, microsecond=0)

    def _offset_min(self) -> int:
        offset = self._now().astimezone(self._zone).utcoffset() or timedelta()
        return round(offset.total_seconds() / 60)


def known_devices() -> list[str]:
    """The names, sorted."""
    return ["contour-next-one"]


def made(
    name: str, air: Air, patient: VirtualPatient, now: Now, *, number: int = 0, security: Security = Security.PASSKEY
) -> Built:
    """The device of that name in the air, still off; `number` of those around. Raises KeyError for an unknown one."""
    if name not in known_devices():
        raise KeyError(name)
    digits = f"{_FIRST_ADDRESS + number:012X}"
    address = ":".join(digits[at : at + 2] for at in range(0, 12, 2))
    meter = LivingMeter(air, address, patient, now, security)
    return Built(meter, "ble-glucose", meter.model.serial)


def in_the_air(names: Iterable[str], now: Now = lambda: datetime.now(UTC), seed: int = 1) -> Air:
    """A computer with these devices around it, all of one patient and switched on when it first listens.

    They pair by their code and then give their records to anybody: what one process paired another does not know.
    """
    air, patient = Air(), VirtualPatient(seed)
    for number, name in enumerate(names):
        built = made(name, air, patient, now, number=number, security=Security.OPEN)
        air.computer.begins.append(built.device.switch_on)
    return air
