"""The Device Information characteristics of Bluetooth devices, and a read without the serial in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.wire import gatt_lines
from bridge.wire.gatt_lines import Value

MANUFACTURER, MODEL, SERIAL = "2a29", "2a24", "2a25"
FIRMWARE, HARDWARE = "2a26", "2a27"
_ADDRESS = "00:00:00:00:00:01"
"""Stands for every device's own."""


def text(data: bytes) -> str | None:
    """The text of a value, None where it says nothing."""
    return data.split(b"\0")[0].decode("utf-8", "replace").strip() or None


def renamed(body: bytes, made_up: Callable[[str], str]) -> bytes:
    """The lines of a read with another serial: that is text in its own characteristic and nowhere else.

    Raises Malformed for bytes that are no text.
    """
    values, _ = gatt_lines.read(body)
    return gatt_lines.written(_renamed(value, made_up) for value in values)


def _renamed(value: Value, made_up: Callable[[str], str]) -> Value:
    return Value(value.uuid, made_up(text(value.data) or "").encode()) if value.uuid == SERIAL else value


def redacted(capture: Capture, names: Pseudonyms, feed: Callable[[str], str]) -> Capture:
    """The same read of a made-up device: another serial, another advertised number, no address.

    `feed` is the feed of a serial or, where a device tells none, of its address. Raises Malformed as `renamed`.
    """
    body = renamed(capture.body, names.of)
    made_up = {"address": _ADDRESS, "name": names.of(capture.context.get("name", ""))}
    context = {key: made_up.get(key, said) for key, said in capture.context.items()}
    address = capture.context.get("address")
    whose = feed(_ADDRESS) if address and capture.feed == feed(address) else capture.feed
    return replace(capture, body=body, context=context, feed=whose)
