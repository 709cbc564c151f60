"""What bleak and the system behind it raise, in our words."""

from __future__ import annotations

import asyncio

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError

from bridge.ble.naming import translated
from bridge.errors import BridgeError, DeviceUnreachable, Refused, Transient, Unauthorised

STATES = [
    (BleakGATTProtocolError(0x05), Unauthorised, "not_linked"),
    (BleakGATTProtocolError(0x0F), Unauthorised, "not_linked"),
    (BleakGATTProtocolError(0x02), Unauthorised, "not_linked"),
    (BleakGATTProtocolError(0xFE), Transient, None),
    (BleakGATTProtocolError(0xFD), Transient, None),
    (BleakGATTProtocolError(0x11), Refused, None),
    (BleakError("No powered Bluetooth adapters found."), Transient, "ble_unavailable"),
    (BleakError("adapter 'hci0' not found"), Transient, "ble_unavailable"),
    (BleakError("anything else"), DeviceUnreachable, "out_of_range"),
    (OSError("no bus"), Transient, "ble_unavailable"),
    (EOFError(), Transient, "ble_unavailable"),
    (TimeoutError(), DeviceUnreachable, "out_of_range"),
    (asyncio.CancelledError(), DeviceUnreachable, "out_of_range"),
]


@pytest.mark.parametrize(("raised", "expected", "state"), STATES, ids=lambda each: repr(each)[:40])
async def test_each_error_has_its_class_and_state(
    raised: BaseException, expected: type[BridgeError], state: str | None
) -> None:
    with pytest.raises(expected) as caught, translated():
        raise raised
    assert state in {None, caught.value.state}


async def test_who_is_cancelled_stays_cancelled() -> None:
    async def waits() -> None:
        with translated():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_whatever_fails_while_pairing_is_a_refusal() -> None:
    with pytest.raises(Unauthorised), translated(pairing=True):
        raise BleakError("Operation failed")
