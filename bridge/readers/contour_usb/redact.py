"""A transfer fit to be passed on: made-up serial, sums that fit again."""

from __future__ import annotations

from dataclasses import replace

from bridge.errors import Malformed
from bridge.model.capture import Capture
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.contour_usb import log
from bridge.wire.astm import STX, build, parse


def redacted(capture: Capture, names: Pseudonyms) -> Capture:
    """The same transfer without serials; a damaged frame is kept as it is but for them."""
    pieces = [_frame(piece, names) if piece.startswith(STX) else piece for piece in log.read(capture.body)]
    return replace(capture, body=log.written(pieces))


def _frame(piece: bytes, names: Pseudonyms) -> bytes:
    try:
        frame = parse(piece)
    except Malformed:
        return names.replaced(piece)
    text = names.replaced(frame.text.encode("latin-1")).decode("latin-1")
    return build(replace(frame, text=text))
