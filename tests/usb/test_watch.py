"""What was plugged in and pulled out, once it has settled."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.contracts import UsbDevice
from bridge.usb import Watch
from tests.support.clock import FakeClock

METER, STICK = UsbDevice("1-1", 0x1A79, 0x7410, (3,)), UsbDevice("1-2", 0x0A21, 0x8001, (255,))


class Looks:
    """A bus that shows one scripted picture a look, and the last one for ever."""

    def __init__(self, *pictures: Sequence[UsbDevice]) -> None:
        self._pictures = list(pictures)

    async def devices(self) -> Sequence[UsbDevice]:
        return self._pictures.pop(0) if len(self._pictures) > 1 else self._pictures[0]


async def _changes(looks: Looks, count: int) -> list[tuple[list[UsbDevice], list[UsbDevice]]]:
    found = []
    async for change in Watch(looks, FakeClock(), signalled=False).changes():  # type: ignore[arg-type]
        found.append((list(change.came), list(change.went)))
        if len(found) == count:
            return found
    return found


async def test_what_is_there_already_comes_first_and_changes_follow() -> None:
    looks = Looks([METER], [METER], [METER, STICK], [METER, STICK], [STICK], [STICK])
    assert await _changes(looks, 3) == [([METER], []), ([STICK], []), ([], [METER])]


async def test_a_device_that_flickers_while_it_starts_is_announced_once() -> None:
    looks = Looks([], [METER], [], [METER], [METER], [METER])
    assert await _changes(looks, 1) == [([METER], [])]


async def test_plugged_out_and_in_between_two_looks_is_seen() -> None:
    again = UsbDevice("1-1", 0x1A79, 0x7410, (3,), attached=1)
    looks = Looks([METER], [METER], [again], [again])
    assert await _changes(looks, 2) == [([METER], []), ([again], [METER])]
