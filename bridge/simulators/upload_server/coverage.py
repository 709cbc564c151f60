"""What the upload server tells of complete uploads: the list, and the time they cover."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from bridge.simulators.upload_server.store import Upload, name_of

_APART = {"sensor_glucose": timedelta(minutes=15)}
_USUALLY = timedelta(hours=24)


def listed(uploads: Iterable[Upload], limit: int) -> dict[str, Any]:
    """The newest uploads."""
    entries = [
        {
            "id": upload.id,
            "date": round((upload.ended or upload.begun).timestamp() * 1000),
            "mobileUploaded": False,
            "status": "COMPLETE",
            "device": upload.manifest["device"]["model"],
            "serialNumber": upload.manifest["device"]["serial"],
        }
        for upload in uploads
    ]
    return {"recentUploads": entries[:limit]}


def covered(uploads: Iterable[Upload]) -> dict[str, Any]:
    """Start, end and segments by data type."""
    times = defaultdict[str, set[datetime]](set)
    for upload in uploads:
        for line in upload.lines():
            if (name := name_of(line)) is not None:
                times[name].add(datetime.fromisoformat(line["time"]))
    if not times:
        return {"start": None, "end": None, "dataProvider": []}
    every = [time for found in times.values() for time in found]
    provider = [
        {"category": name, "segments": _segments(name, sorted(found))} for name, found in sorted(times.items())
    ]
    return {"start": min(every).isoformat(), "end": max(every).isoformat(), "dataProvider": provider}


def _segments(name: str, times: list[datetime]) -> list[dict[str, str]]:
    limit = _APART.get(name, _USUALLY)
    spans = [[times[0], times[0]]]
    for time in times[1:]:
        if time - spans[-1][1] > limit:
            spans.append([time, time])
        spans[-1][1] = time
    return [{"start": start.isoformat(), "end": end.isoformat()} for start, end in spans]
