"""What the upload server holds: uploads, their parts, and the rules of the contract."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEPT = timedelta(days=7)
_NAMES = {
    "meter_glucose": "meter_bg", "bolus_calculation": "wizard", "pump_settings": "settings",
    "temporary": "temp_basal", "suspended": "suspend_resume", "alarm_cleared": "alarm", "alarm": "alarm",
    "prime": "prime_rewind", "rewind": "prime_rewind", "time_change": "time_change", "suspend": "suspend_resume",
    "resume": "suspend_resume",
}  # fmt: skip
_UNNAMED = frozenset({"ketone", "injection", "exercise", "note", "pump_status"})


class Problem(Exception):
    """An answer of the contract's error shape."""

    def __init__(self, status: int, code: str, *, retryable: bool = False, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": "", "retryable": retryable, **more}}


@dataclass(slots=True)
class Upload:
    """One upload. `state`: receiving, processing, complete, rejected."""

    id: str
    key: str
    manifest: dict[str, Any]
    begun: datetime
    state: str = "receiving"
    ended: datetime | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    looks: int = 0

    def document(self) -> dict[str, Any]:
        """The state document."""
        told: dict[str, Any] = {"id": self.id, "state": self.state, "received_parts": sorted(self.parts)}
        if self.state == "complete":
            types = self.manifest["data_types"]
            told["data_types"] = {name: each["count"] for name, each in types.items()}
        return told | ({"errors": [{"code": code} for code in self.errors]} if self.errors else {})

    def lines(self) -> list[dict[str, Any]]:
        """The records that were sent."""
        wanted = [entry for entry in self.manifest["parts"] if entry["media_type"] == "application/x-ndjson"]
        text = b"".join(plain(entry, self.parts[entry["n"]]) for entry in wanted)
        return [json.loads(line) for line in text.splitlines()]


class Store:
    """`looks`: how often the state must be asked before a completed upload is processed.

    `outcomes` counts parts by what happened: `stored`, or `again` for one that was there already.
    """

    def __init__(self, looks: int = 1) -> None:
        self.uploads: dict[str, Upload] = {}
        self.outcomes: Counter[str] = Counter()
        self.looks = looks
        self._made = 0

    def create(self, key: str, manifest: Any, now: datetime) -> tuple[int, Upload]:
        """201 and a new upload, or 200 and the known one. Raises Problem."""
        if not _KEY.fullmatch(key):
            raise Problem(422, "invalid_key")
        wrong = faults_of(manifest)
        if wrong:
            raise Problem(422, "invalid_manifest", errors=wrong)
        for known in self._live(now):
            if known.key == key:
                if known.manifest["sha256"] != manifest["sha256"]:
                    raise Problem(409, "key_reused")
                return 200, known
        self._made += 1
        made = Upload(f"u{self._made}", key, manifest, now)
        self.uploads[made.id] = made
        return 201, made

    def upload(self, upload_id: str, now: datetime) -> Upload:
        """The upload of that id. Raises Problem 404."""
        for known in self._live(now):
            if known.id == upload_id:
                return known
        raise Problem(404, "unknown_upload")

    def put(self, upload: Upload, n: int, body: bytes, content_digest: str) -> int:
        """204 stored, 200 stored before. Raises Problem."""
        entry = next((each for each in upload.manifest["parts"] if each["n"] == n), None)
        if entry is None:
            raise Problem(422, "unknown_part")
        digest = sha256(body)
        told = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        if content_digest != told or entry["bytes"] != len(body):
            raise Problem(422, "digest_mismatch", retryable=True)
        if n in upload.parts:
            if upload.parts[n] != body:
                raise Problem(409, "other_digest")
            self.outcomes["again"] += 1
            return 200
        if entry["sha256"] != digest.hexdigest():
            raise Problem(422, "digest_mismatch", retryable=True)
        if upload.state != "receiving":
            raise Problem(409, "not_receiving")
        upload.parts[n] = body
        self.outcomes["stored"] += 1
        return 204

    def complete(self, upload: Upload, digest: object, now: datetime) -> int:
        """202 when processing begins, 200 when it is over. Raises Problem."""
        if upload.state in {"complete", "rejected"}:
            return 200
        missing = [entry["n"] for entry in upload.manifest["parts"] if entry["n"] not in upload.parts]
        if missing:
            raise Problem(409, "missing_parts", retryable=True, missing=missing)
        if digest != upload.manifest["sha256"]:
            raise Problem(422, "digest_mismatch")
        upload.state, upload.ended = "processing", now
        return 202

    def look(self, upload: Upload) -> Upload:
        """The upload as it is told; processing moves on with every look."""
        if upload.state == "processing":
            upload.looks += 1
            if upload.looks >= self.looks:
                upload.errors = _errors_of(upload)
                upload.state = "rejected" if upload.errors else "complete"
        return upload

    def abort(self, upload: Upload) -> None:
        """Forget an upload that is still received. Raises Problem."""
        if upload.state != "receiving":
            raise Problem(409, "not_receiving")
        del self.uploads[upload.id]

    def forget(self) -> None:
        """Lose all that is not complete."""
        self.uploads = {key: each for key, each in self.uploads.items() if each.state == "complete"}

    def complete_ones(self) -> list[Upload]:
        """All complete uploads, newest first."""
        return [each for each in reversed(self.uploads.values()) if each.state == "complete"]

    def _live(self, now: datetime) -> list[Upload]:
        return [each for each in self.uploads.values() if each.state != "receiving" or now - each.begun <= _KEPT]


def faults_of(manifest: Any) -> list[str]:
    """What is wrong with a manifest, by code."""
    try:
        parts = manifest["parts"]
        lines = "".join(f"{part['n']} {part['bytes']} {part['sha256']}\n" for part in parts)
        wrong = {
            "contract": manifest["contract"] != "clu-1",
            "account": not isinstance(manifest["account"], str),
            "device": set(manifest["device"]) != {"kind", "model", "serial"},
            "window": set(manifest["window"]) != {"start", "end"},
            "reader": set(manifest["reader"]) != {"name", "version"},
            "captured_at": datetime.fromisoformat(manifest["captured_at"]).tzinfo is None,
            "parts": not parts or [part["n"] for part in parts] != list(range(len(parts))),
            "sha256": manifest["sha256"] != sha256(lines.encode()).hexdigest(),
            "data_types": not isinstance(manifest["data_types"], dict),
        }
    except (KeyError, TypeError, ValueError):
        return ["shape"]
    return [name for name, is_wrong in wrong.items() if is_wrong]


def plain(entry: dict[str, Any], body: bytes) -> bytes:
    """A part without its encoding."""
    return gzip.decompress(body) if entry["encoding"] == "gzip" else body


def _errors_of(upload: Upload) -> list[str]:
    """What processing finds: parts that cannot be unpacked, records that are not those announced."""
    try:
        for entry in upload.manifest["parts"]:
            plain(entry, upload.parts[entry["n"]])
        named = Counter(name for line in upload.lines() if (name := name_of(line)) is not None)
    except (OSError, EOFError, ValueError, zlib.error):
        return ["unreadable"]
    announced = {name: each["count"] for name, each in upload.manifest["data_types"].items()}
    return [] if announced == dict(named) else ["other_counts"]


def name_of(line: dict[str, Any]) -> str | None:
    """The data type of a record's line."""
    kind = str(line["kind"])
    if kind in _UNNAMED:
        return None
    finer = {"basal": line.get("delivery"), "device_event": line.get("event")}.get(kind, kind)
    return _NAMES.get(str(finer), kind)
