"""The errors of bleak, and of the system behind it, in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge.errors import BridgeError, DeviceUnreachable, Incompatible, Refused, Transient, Unauthorised

UNAVAILABLE = "ble_unavailable"
NOT_LINKED = "not_linked"
_UNPAIRED = frozenset({0x02, 0x03, 0x05, 0x08, 0x0C, 0x0F})
"""ATT errors of a device that wants to be paired; BlueZ shows some of them as 2 and 3."""
_UNPAIRED_NAMES = frozenset(
    f"org.bluez.Error.{name}"
    for name in (
        "NotPermitted", "NotAuthorized", "AuthenticationFailed", "AuthenticationCanceled", "AuthenticationRejected",
        "AuthenticationTimeout",
    )
)  # fmt: skip
_BUSY = frozenset({0x80, 0xFE})
_NOT_SUBSCRIBED = frozenset({0x81, 0xFD})
_NO_BLUEZ = (
    "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected", "org.bluez.Error.NotReady",
)  # fmt: skip


def bleak() -> Any:
    """The library, loaded when Bluetooth is first used. Raises Incompatible where it is not installed."""
    try:
        import bleak as found
    except ImportError:
        raise Incompatible(
            "Bluetooth support is not installed.", next_step="Install glucobridge[ble].", state=UNAVAILABLE
        ) from None
    return found


@contextmanager
def translated(*, pairing: bool = False) -> Iterator[None]:
    """What bleak raises in here leaves as an error of ours."""
    exc = bleak().exc
    try:
        yield
    except exc.BleakError as error:
        raise _named(exc, error, pairing=pairing) from error
    except TimeoutError:
        raise DeviceUnreachable("The device did not answer in time.") from None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise gone() from error  # a stack may cancel what it was asked when the link breaks
    except (OSError, EOFError) as error:
        raise unavailable() from error


def gone() -> DeviceUnreachable:
    """The link broke."""
    return DeviceUnreachable("The device went out of reach or switched itself off.")


def unavailable() -> Transient:
    """No Bluetooth now."""
    return Transient(
        "This machine's Bluetooth cannot be used now: it is off, missing, or its service does not run.",
        next_step="Switch Bluetooth on; on Linux start bluetoothd, in a container mount the system's D-Bus socket.",
        state=UNAVAILABLE,
    )


def _named(exc: Any, error: Exception, *, pairing: bool) -> BridgeError:
    if is_unavailable(error):
        return unavailable()
    if pairing:
        return Unauthorised(
            "The device was not paired: a wrong code, or it said no.",
            next_step="Put it into pairing mode and try again.",
            state=NOT_LINKED,
        )
    if isinstance(error, exc.BleakGATTProtocolError):
        return _refused(int(error.args[0]))
    if getattr(error, "dbus_error", None) in _UNPAIRED_NAMES:
        return _unpaired()
    return DeviceUnreachable("The device could not be talked to: it is asleep, away, or busy with a phone.")


def is_unavailable(error: Exception) -> bool:
    """Whether bleak's error means that there is no Bluetooth now."""
    if isinstance(error, bleak().exc.BleakBluetoothNotAvailableError):
        return True
    name = getattr(error, "dbus_error", None)
    text = str(error).lower()
    return name in _NO_BLUEZ or ("adapter" in text and "not found" in text) or "no powered" in text


def _refused(code: int) -> BridgeError:
    if code in _UNPAIRED:
        return _unpaired()
    if code in _BUSY:
        return Transient("The device is still busy with an earlier request.")
    if code in _NOT_SUBSCRIBED:
        return Transient("The device does not know that we listen.")
    return Refused(f"The device refused a request (ATT error 0x{code:02X}).")


def _unpaired() -> Unauthorised:
    return Unauthorised(
        "The device wants to be paired first.", next_step="Run `glucobridge devices pair`.", state=NOT_LINKED
    )
