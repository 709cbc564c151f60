"""Captures decoded again, and made fit to be passed on."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from bridge.contracts import Memory, Reader, Setup
from bridge.engine.clock import SystemClock
from bridge.engine.registry import reader_class
from bridge.errors import Malformed
from bridge.model import Capture
from bridge.model.pseudonym import Pseudonyms


def decoder(capture: Capture) -> Reader:
    """The reader of a capture, with nothing to open."""
    setup = Setup(
        capture.profile,
        {},
        SystemClock(),
        Random(0),  # noqa: S311
        timezone=capture.context.get("timezone"),
    )
    return reader_class(capture.reader)(setup)


def redacted(capture: Capture) -> Capture:
    """The same read with made-up serials. Families with check sums or packed serials do it themselves."""
    reader, names = decoder(capture), Pseudonyms()
    for serial in _serials(reader, capture):
        names.of(serial)
    own = getattr(reader, "redacted", None)
    changed: Capture = own(capture, names) if own else replace(capture, body=names.replaced(capture.body))
    said = {key: names.replaced(value.encode()).decode() for key, value in changed.context.items()}
    feed = names.replaced(changed.feed.encode()).decode()
    return replace(changed, context=said, feed=_without_account(feed))


def _serials(reader: Reader, capture: Capture) -> list[str]:
    try:
        records = reader.decode(capture, Memory()).records
    except Malformed:
        return []
    found = (record.device.serial for record in records if record.device is not None)
    return list(dict.fromkeys(serial for serial in found if serial))


def _without_account(feed: str) -> str:
    """A cloud feed names the patient's account: `carelink:eu:<name>`."""
    family, *rest = feed.split(":")
    return f"{family}:{rest[0]}:person" if len(rest) > 1 else feed
