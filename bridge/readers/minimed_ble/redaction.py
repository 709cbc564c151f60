"""A read made fit to be passed on: another serial."""

from __future__ import annotations

from dataclasses import replace

from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.minimed_ble import uuids
from bridge.readers.minimed_ble.making import feed
from bridge.wire import gatt_lines
from bridge.wire.gatt_lines import Value


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same read of a made-up pump. Raises Malformed for bytes that are no text."""
    values, _ = gatt_lines.read(capture.body)
    told = [_told(value, names) for value in values]
    kind, _, serial = capture.feed.partition(":")
    whose = feed(names.of(serial)) if serial and feed(serial) == capture.feed else kind
    return replace(capture, body=gatt_lines.written(told), feed=whose)


def _told(value: Value, names: Pseudonyms) -> Value:
    """The serial is text in its own characteristic and nowhere else."""
    if value.uuid != uuids.SERIAL:
        return value
    return Value(value.uuid, names.of(value.data.split(b"\0")[0].decode("utf-8", "replace").strip()).encode())
