"""A read made fit to be passed on: another serial, another advertised number, no address."""

from __future__ import annotations

from dataclasses import replace

from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.ble_cgm.making import feed
from bridge.readers.ble_cgm.transfer import SERIAL
from bridge.wire import gatt_lines
from bridge.wire.gatt_lines import Value

_ADDRESS = "00:00:00:00:00:01"
"""Stands for every sensor's own."""


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same read of a made-up sensor. Raises Malformed for bytes that are no text."""
    values, _ = gatt_lines.read(capture.body)
    told = [_told(value, names) for value in values]
    made_up = {"address": _ADDRESS, "name": names.of(capture.context.get("name", ""))}
    context = {key: made_up.get(key, said) for key, said in capture.context.items()}
    address = capture.context.get("address")
    whose = feed(_ADDRESS) if address and capture.feed == feed(address) else capture.feed
    return replace(capture, body=gatt_lines.written(told), context=context, feed=whose)


def _told(value: Value, names: Pseudonyms) -> Value:
    """The serial is text in its own characteristic and nowhere else."""
    if value.uuid != SERIAL:
        return value
    return Value(value.uuid, names.of(value.data.split(b"\0")[0].decode("utf-8", "replace").strip()).encode())
