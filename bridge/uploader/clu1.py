"""Upload contract clu-1 as pure functions: what is sent, under which digests and which key.

The contract is this project's own. A snapshot is a list of parts (raw reads of the device, and the records as
lines of JSON) with a manifest; equal content gives equal bytes, digests and key, wherever and whenever it is built.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from bridge import __version__
from bridge.contracts import Snapshot, UploadRequest
from bridge.errors import Incompatible, Refused
from bridge.model.records import Record, to_json
from bridge.model.time import iso_ms, iso_wall
from bridge.uploader.kinds import wire_name

CONTRACT = "clu-1"
RECORDS = "records"
OCTETS, LINES = "application/octet-stream", "application/x-ndjson"
GZIP, IDENTITY = "gzip", "identity"
_GZIP_HEAD = bytes.fromhex("1f8b08000000000000ff")
"""No time, no name, no system: the bytes depend on the content alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes."""

    max_part_bytes: int = 4 * 1024 * 1024
    max_upload_bytes: int = 256 * 1024 * 1024
    gzip: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it is transmitted: `body` is already encoded, `sha256` is of these bytes."""

    n: int
    name: str
    media_type: str
    encoding: str
    body: bytes = field(repr=False)
    sha256: str

    def entry(self) -> dict[str, Any]:
        """The part's line in the manifest."""
        return {
            "n": self.n, "name": self.name, "media_type": self.media_type, "encoding": self.encoding,
            "bytes": len(self.body), "sha256": self.sha256,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Container:
    """A whole upload, ready to be sent."""

    manifest: Mapping[str, Any]
    parts: Sequence[Part]
    key: str
    """Idempotency key: the same snapshot maps to the same upload wherever it is retried."""

    @property
    def sha256(self) -> str:
        """Digest over all parts, in hex."""
        return str(self.manifest["sha256"])


def limits_of(document: Any) -> Limits:
    """The limits in a capabilities answer. Raises Incompatible for another contract."""
    if not isinstance(document, dict) or document.get("contract") != CONTRACT:
        raise Incompatible("The server does not speak the upload contract clu-1.", next_step="Check its address.")
    accepts = document.get("accepts")
    known = Limits()
    return Limits(
        _bytes(document.get("max_part_bytes"), known.max_part_bytes),
        _bytes(document.get("max_upload_bytes"), known.max_upload_bytes),
        gzip=isinstance(accepts, list) and GZIP in accepts,
    )


def _bytes(value: object, usual: int) -> int:
    return value if isinstance(value, int) and value > 0 else usual


def container(account: str, request: UploadRequest, snapshot: Snapshot, limits: Limits) -> Container:
    """What is sent for a request. Raises Refused when there is nothing to send, or more than the server takes."""
    pieces = enumerate(_pieces(request, snapshot, limits))
    parts = [_part(n, name, media_type, piece, limits) for n, (name, media_type, piece) in pieces]
    if not parts:
        raise Refused("There is nothing of this device to upload yet.", next_step="Read the device first.")
    size = sum(len(part.body) for part in parts)
    if size > limits.max_upload_bytes:
        raise Refused(f"The upload has {size} bytes, more than the server takes.", next_step="Ask its operator.")
    made = manifest(account, request, snapshot, parts)
    return Container(made, parts, idempotency_key(made))


# --- parts -----------------------------------------------------------------------------------------


def _pieces(request: UploadRequest, snapshot: Snapshot, limits: Limits) -> Iterator[tuple[str, str, bytes]]:
    """Name, media type and plain bytes of every part: raw reads oldest first, then the records."""
    most = limits.max_part_bytes
    raw = sorted(snapshot.captures, key=lambda capture: (capture.taken_at, capture.reader, capture.body))
    for number, capture in enumerate(raw):
        for nth, piece in enumerate(_cut(capture.body, most)):
            more = f".{nth}" if nth else ""
            yield f"history/{request.device.kind}-{number:05d}.bin{more}", OCTETS, piece
    for nth, piece in enumerate(_lines(snapshot.records, most)):
        yield f"{RECORDS}{f'-{nth}' if nth else ''}.ndjson", LINES, piece


def _cut(body: bytes, most: int) -> Iterator[bytes]:
    for at in range(0, len(body), most):
        yield body[at : at + most]


def _lines(records: Iterable[Record], most: int) -> Iterator[bytes]:
    """The records by time, one JSON a line, cut between lines."""
    piece = bytearray()
    for record in sorted(records, key=lambda record: (record.time, record.id)):
        line = to_json(record) + b"\n"
        if piece and len(piece) + len(line) > most:
            yield bytes(piece)
            piece.clear()
        piece += line
    if piece:
        yield bytes(piece)


def _part(n: int, name: str, media_type: str, plain: bytes, limits: Limits) -> Part:
    packed = gzipped(plain) if limits.gzip else plain
    encoding, body = (GZIP, packed) if len(packed) < len(plain) else (IDENTITY, plain)
    return Part(n, name, media_type, encoding, body, sha256(body).hexdigest())


def gzipped(plain: bytes) -> bytes:
    """A gzip stream without time, name and system: equal input, equal bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(plain) + packer.flush()
    return _GZIP_HEAD + packed + struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)


# --- manifest and digests --------------------------------------------------------------------------


def manifest(account: str, request: UploadRequest, snapshot: Snapshot, parts: Sequence[Part]) -> dict[str, Any]:
    """The manifest of these parts."""
    device, captured = request.device, _captured_at(request, snapshot)
    wall, offset_min = _device_clock(snapshot.records, captured)
    return {
        "contract": CONTRACT,
        "account": account,
        "device": {"kind": device.kind, "model": device.model, "serial": device.serial},
        "captured_at": instant(captured),
        "device_time": wall,
        "utc_offset_minutes": offset_min,
        "window": {"start": instant(request.window.start), "end": instant(request.window.end)},
        "reader": {"name": _readers(snapshot), "version": __version__},
        "data_types": data_types(snapshot.records),
        "parts": [part.entry() for part in parts],
        "sha256": sha256(digest_input(parts)).hexdigest(),
    }


def digest_input(parts: Iterable[Part]) -> bytes:
    """What the manifest's digest is taken over: `n SP bytes SP sha256hex LF` for each part, in order."""
    ordered = sorted(parts, key=lambda part: part.n)
    return "".join(f"{part.n} {len(part.body)} {part.sha256}\n" for part in ordered).encode()


def idempotency_key(made: Mapping[str, Any]) -> str:
    """Hex SHA-256 of account, serial, window and content of a manifest."""
    window = made["window"]
    named = (made["account"], made["device"]["serial"], window["start"], window["end"], made["sha256"])
    return sha256("|".join(named).encode()).hexdigest()


def content_digest(part: Part) -> str:
    """The `Content-Digest` header of a part."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(part.sha256)).decode()}:"


def data_types(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Count, first and last time of each data type."""
    times = defaultdict[str, list[datetime]](list)
    for record in records:
        if (name := wire_name(record)) is not None:
            times[name].append(record.time)
    return {
        name: {"count": len(found), "first": instant(min(found)), "last": instant(max(found))}
        for name, found in sorted(times.items())
    }


def instant(moment: datetime) -> str:
    """An instant as the contract writes it: UTC, milliseconds only where there are some."""
    return iso_ms(moment).replace(".000Z", "Z")


def _captured_at(request: UploadRequest, snapshot: Snapshot) -> datetime:
    return max((capture.taken_at for capture in snapshot.captures), default=request.asked_at)


def _device_clock(records: Sequence[Record], at: datetime) -> tuple[str | None, int | None]:
    """What the device's clock showed at an instant, by its newest record that tells; None where none does."""
    newest = max((record for record in records if record.device_time), key=lambda record: record.time, default=None)
    if newest is None or newest.device_time is None:
        return None, None
    ahead: timedelta = newest.device_time - newest.time.replace(tzinfo=None)
    return iso_wall(at.astimezone(UTC).replace(tzinfo=None) + ahead), newest.utc_offset_min


def _readers(snapshot: Snapshot) -> str:
    names = {record.reader for record in snapshot.records} | {capture.reader for capture in snapshot.captures}
    return "+".join(sorted(names))
