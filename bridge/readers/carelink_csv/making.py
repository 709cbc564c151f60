"""What rows say becomes records of the model: identity first, then bodies, then the model's own guard."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from bridge.contracts import Diagnostic
from bridge.model.capture import Capture
from bridge.model.identity import record_id
from bridge.model.records import Device, Record
from bridge.readers.carelink_csv.clocks import Moment

MAKER = "Medtronic"
REJECTED = "row/rejected"
_UNCERTAIN = {"code": "clock/uncertain"}
_MOST_REJECTED = 200


@dataclass(eq=False, slots=True)
class Draft:
    """One record to be: `key` is the source key it wants, `links` name other drafts by the field they fill."""

    model: type[Record]
    moment: Moment
    device: Device
    key: str
    body: dict[str, Any]
    line: int
    annotations: tuple[dict[str, Any], ...] = ()
    raw: Mapping[str, Any] | None = None
    links: dict[str, Draft] = field(default_factory=dict)
    id: str = ""

    def note(self, code: str) -> None:
        """Add an annotation without values."""
        self.annotations = (*self.annotations, {"code": code})


@dataclass(slots=True)
class Findings:
    """What went wrong or stayed aside, for a person; never a cell's text."""

    rejected: int = 0
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def reject(self, line: int, reason: str) -> None:
        """Note one bad row; those after the first two hundred are only counted."""
        self.rejected += 1
        if self.rejected <= _MOST_REJECTED:
            self.diagnostics.append(Diagnostic(REJECTED, f"Line {line}: {reason}."))

    def note(self, code: str, text: str) -> None:
        """One more line."""
        self.diagnostics.append(Diagnostic(code, text))

    def told(self) -> tuple[Diagnostic, ...]:
        """All lines, with a sum when not every bad row has one."""
        if self.rejected <= _MOST_REJECTED:
            return tuple(self.diagnostics)
        return (*self.diagnostics, Diagnostic(REJECTED, f"{self.rejected} rows were rejected in all."))


def make(drafts: Sequence[Draft], capture: Capture, findings: Findings) -> list[Record]:
    """The records, in order of time. A draft that the model refuses is rejected alone."""
    _name(drafts, capture)
    made = [record for draft in drafts if (record := _record(draft, capture, findings)) is not None]
    made.sort(key=lambda record: (record.time, record.id))
    return made


def feed_of(device: Device, capture: Capture) -> str:
    """The device part of an identity; that of the capture where the file names no serial."""
    return f"medtronic:{device.serial}" if device.serial else capture.feed


def _name(drafts: Iterable[Draft], capture: Capture) -> None:
    """Give every draft its id. Of drafts that want one key the first by content keeps it, others are numbered."""
    groups = defaultdict[tuple[str, str, str], list[Draft]](list)
    for draft in drafts:
        kind = str(draft.model.model_fields["kind"].default)
        groups[feed_of(draft.device, capture), kind, draft.key].append(draft)
    for (feed, kind, key), twins in groups.items():
        if len(twins) > 1:
            twins.sort(key=lambda draft: (draft.moment.time, canonical(draft.body), draft.line))
        for n, draft in enumerate(twins, start=1):
            draft.key = key if n == 1 else f"{key}#{n}"
            draft.id = record_id(capture.profile, feed, kind, draft.key)


def _record(draft: Draft, capture: Capture, findings: Findings) -> Record | None:
    notes = (*draft.annotations, _UNCERTAIN) if draft.moment.uncertain else draft.annotations
    try:
        return draft.model(
            id=draft.id,
            time=draft.moment.time,
            device_time=draft.moment.wall,
            utc_offset_min=draft.moment.offset_min,
            profile=capture.profile,
            device=draft.device,
            reader=capture.reader,
            source_key=draft.key,
            annotations=notes,
            raw=dict(draft.raw) if draft.raw else None,
            **draft.body,
            **{name: other.id for name, other in draft.links.items()},
        )
    except ValidationError as why:
        first = why.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        findings.reject(draft.line, f"{name}: {str(first['msg']).lower()}")
        return None


def canonical(value: object) -> str:
    """One text for one content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(text: str, length: int) -> str:
    """The first hexadecimal digits of a text's SHA-256."""
    return sha256(text.encode()).hexdigest()[:length]
