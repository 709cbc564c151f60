"""A read fit to be passed on: made-up serial, no ids of meters, remotes and sensors, sums that fit again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.medtronic_stick.model import PumpModel, pump_model
from bridge.readers.medtronic_stick.pages import DATA, PAGE, read_page
from bridge.wire.crc import crc16

_METER = 3
"""Bytes of a meter's id in a linked reading."""
_IDS = {
    0x3F: slice(7, 10), 0x39: slice(7, 10), 0x26: slice(7, 21), 0x27: slice(7, 21), 0x29: slice(7, 21),
    0x36: slice(7, 21), 0x3C: slice(7, 21), 0x7D: slice(7, 37), 0x81: slice(7, 12), 0x82: slice(7, 12),
}  # fmt: skip
"""Where the records of an opcode name other devices."""


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same read without serials and ids. Raises Malformed for what is no read."""
    ids = _Ids()
    if len(capture.body) == PAGE:
        return replace(capture, body=_page(capture.body, pump_model(capture.context.get("model", "")), ids))
    told = json.loads(capture.body)
    model = pump_model(str(told["model"]))
    names.of(str(told["serial"]))
    answers = {opcode: names.replaced(bytes.fromhex(text)).hex() for opcode, text in told["answers"].items()}
    history = {number: _page(bytes.fromhex(text), model, ids).hex() for number, text in told["history"].items()}
    serial = names.of(str(told["serial"]))
    shown: dict[str, Any] = {**told, "serial": serial, "answers": answers | _remotes(answers), "history": history}
    return replace(capture, body=json.dumps(shown, separators=(",", ":")).encode())


def _remotes(answers: dict[str, str]) -> dict[str, str]:
    """The ids of remote controls are nobody's business: as if there were none."""
    return {"76": b"------".hex() * 3 + "00" * 46} if "76" in answers else {}


class _Ids:
    """Counts the ids of other devices, so that the same one stays the same."""

    def __init__(self) -> None:
        self._given: dict[bytes, bytes] = {}

    def of(self, found: bytes) -> bytes:
        """Another id of equal length; zeros stay zeros."""
        if not any(found):
            return found
        return self._given.setdefault(found, (len(self._given) + 1).to_bytes(len(found), "big"))


def _page(page: bytes, model: PumpModel, ids: _Ids) -> bytes:
    """A history page with other ids; a page that cannot be read has nothing that can be told apart: all zeros."""
    try:
        records = read_page(page, model).records
    except Malformed:
        return bytes(PAGE)
    shown = bytearray(page[:DATA])
    for record in records:
        place = _IDS.get(record.opcode)
        if place is not None:
            at = slice(record.offset + place.start, record.offset + min(place.stop, len(record.data)))
            shown[at] = _of(shown[at], ids)
    return bytes(shown) + crc16(bytes(shown)).to_bytes(2, "big")


def _of(found: bytearray, ids: _Ids) -> bytes:
    return ids.of(bytes(found)) if len(found) == _METER else bytes(len(found))
