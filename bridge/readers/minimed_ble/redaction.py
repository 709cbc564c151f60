"""A read made fit to be passed on: another serial."""

from __future__ import annotations

from dataclasses import replace

from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.minimed_ble.making import feed
from bridge.wire.device_information import renamed


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same read of a made-up pump. Raises Malformed for bytes that are no text."""
    kind, _, serial = capture.feed.partition(":")
    body = renamed(capture.body, names.of)
    whose = feed(names.of(serial)) if serial and feed(serial) == capture.feed else kind
    return replace(capture, body=body, feed=whose)
