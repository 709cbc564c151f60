"""Our own BlueZ pairing agent: for the time of one pairing it hands BlueZ's questions to a person.

It answers for one device only, and only to BlueZ itself; everything else is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from bridge.ble.naming import UNAVAILABLE
from bridge.contracts.ble import AskPasskey, Question
from bridge.errors import BridgeError, Transient

AGENT, MANAGER, BLUEZ = "org.bluez.Agent1", "org.bluez.AgentManager1", "org.bluez"
_PATH, _MANAGER_PATH = "/org/glucobridge/agent", "/org/bluez"
_CAPABILITY = "KeyboardDisplay"
_REJECTED, _CANCELED = "org.bluez.Error.Rejected", "org.bluez.Error.Canceled"
_REGISTER_S = 10.0
_Said: TypeAlias = tuple[str, list[Any]]
"""Signature and body of an answer."""


@asynccontextmanager
async def bluez_agent(address: str, ask: AskPasskey) -> AsyncIterator[None]:
    """While this is open BlueZ asks `ask` about the device. Raises Transient (`ble_unavailable`) without BlueZ."""
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import AuthError

    bus = None
    try:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        async with asyncio.timeout(_REGISTER_S):
            await bus.connect()
            agent = _Agent(bus, address, ask, await _owner(bus))
            bus.add_message_handler(agent.handle)
            await _call(bus, "RegisterAgent", "os", [_PATH, _CAPABILITY])
            await _call(bus, "RequestDefaultAgent", "o", [_PATH])
    except (OSError, EOFError, TimeoutError, AuthError) as error:
        _hang_up(bus)
        raise _no_bluez() from error
    except BridgeError:
        _hang_up(bus)
        raise
    try:
        yield
    finally:
        agent.stop()
        with contextlib.suppress(BridgeError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(_REGISTER_S):
                await _call(bus, "UnregisterAgent", "o", [_PATH])
        _hang_up(bus)


class _Agent:
    """Answers org.bluez.Agent1."""

    def __init__(self, bus: Any, address: str, ask: AskPasskey, bluez: str) -> None:
        self._bus, self._address, self._ask, self._bluez = bus, address.upper(), ask, bluez
        self._path_end = "dev_" + self._address.replace(":", "_")
        self._asking: set[asyncio.Task[None]] = set()

    def handle(self, message: Any) -> Any:
        """dbus-fast's handler: True when the call was for this agent."""
        from dbus_fast import MessageType

        if message.message_type is not MessageType.METHOD_CALL or message.interface != AGENT:
            return None
        if message.sender != self._bluez or message.path != _PATH:
            return self._error(message, _REJECTED)
        if message.member in ("Release", "Cancel"):
            self.stop()
            return self._reply(message)
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return True

    def stop(self) -> None:
        """Nobody waits for an answer any more."""
        for task in self._asking:
            task.cancel()

    async def _answer(self, message: Any) -> None:
        answer = _ANSWERS.get(message.member)
        try:
            if answer is None or not str(message.body[0]).endswith(self._path_end):
                self._bus.send(self._error(message, _REJECTED))
                return
            said = await answer(self._ask, self._address, message.body)
        except asyncio.CancelledError:
            self._bus.send(self._error(message, _CANCELED))
            raise
        if said is None:
            self._bus.send(self._error(message, _REJECTED))
        else:
            self._bus.send(self._reply(message, *said))

    def _reply(self, message: Any, signature: str = "", body: list[Any] | None = None) -> Any:
        from dbus_fast import Message

        return Message.new_method_return(message, signature, body or [])

    def _error(self, message: Any, name: str) -> Any:
        from dbus_fast import Message

        return Message.new_error(message, name, "Not answered.")


async def _passkey(ask: AskPasskey, address: str, body: list[Any]) -> _Said | None:
    number = await ask(Question(address))
    return None if number is None else ("u", [number])


async def _pin(ask: AskPasskey, address: str, body: list[Any]) -> _Said | None:
    number = await ask(Question(address))
    return None if number is None else ("s", [f"{number:06d}"])


async def _confirmation(ask: AskPasskey, address: str, body: list[Any]) -> _Said | None:
    return ("", []) if await ask(Question(address, body[1])) == body[1] else None


async def _yes(ask: AskPasskey, address: str, body: list[Any]) -> _Said | None:
    """The person started this pairing, and the device is the one."""
    return "", []


_ANSWERS: Mapping[str, Callable[[AskPasskey, str, list[Any]], Awaitable[_Said | None]]] = {
    "RequestPasskey": _passkey,
    "RequestPinCode": _pin,
    "RequestConfirmation": _confirmation,
    "RequestAuthorization": _yes,
    "AuthorizeService": _yes,
    "DisplayPasskey": _yes,
    "DisplayPinCode": _yes,
}


async def _owner(bus: Any) -> str:
    from dbus_fast import Message

    daemon = "org.freedesktop.DBus"
    reply = await bus.call(
        Message(daemon, "/org/freedesktop/DBus", daemon, "GetNameOwner", signature="s", body=[BLUEZ])
    )
    return str(_body(reply)[0])


async def _call(bus: Any, member: str, signature: str, body: list[Any]) -> None:
    from dbus_fast import Message

    _body(await bus.call(Message(BLUEZ, _MANAGER_PATH, MANAGER, member, signature=signature, body=body)))


def _body(reply: Any) -> list[Any]:
    from dbus_fast import MessageType

    if reply is None or reply.message_type is MessageType.ERROR:
        raise _no_bluez()
    return list(reply.body)


def _hang_up(bus: Any) -> None:
    if bus is not None:
        bus.disconnect()


def _no_bluez() -> Transient:
    return Transient(
        "Linux's Bluetooth service does not take our pairing agent.",
        next_step="Start bluetoothd; in a container mount the system's D-Bus socket.",
        state=UNAVAILABLE,
    )
