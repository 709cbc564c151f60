"""The basal line: one datum an interval, nothing merged, no hole filled."""

from __future__ import annotations

from typing import Any

from adapters.preparation import (
    Result,
    Segment,
    is_micro_dose,
    lean,
    micro_dose_rate,
    number,
    skipped,
)
from adapters.tidepool.mapping.frame import View, datum, trimmed
from bridge.model import Basal

_BASAL = "basal"
_LONGEST_MS = 7 * 24 * 3_600_000
"""The platform refuses a longer basal, and with it the datum."""
_HIGHEST_RATE_U_H = 100
_BY_PUMP = ("before_low", "on_low", "alarm")
_DELIVERIES = {"scheduled": "scheduled", "temporary": "temp", "automatic": "automated"}


def basal(record: Basal, view: View) -> Result:
    """A `basal`; a suspend also brings its `deviceEvent/status`."""
    segment = view.prepared.segments[record.id]
    length_ms = _length_ms(segment, view)
    if length_ms <= 0:
        return skipped("zero_length")
    if record.delivery == "suspended":
        return _suspend(segment, length_ms, view)
    rate = micro_dose_rate(record) if is_micro_dose(record) else record.rate_u_h
    if rate is None:
        return skipped("temp_rate_unknown" if record.delivery == "temporary" else "rate_unknown")
    fields = {"deliveryType": _DELIVERIES[record.delivery], "rate": number(rate), "duration": length_ms}
    named = lean(scheduleName=trimmed(record.schedule)) if record.delivery == "scheduled" else {}
    temp = _temp(record, rate) if record.delivery == "temporary" else {}
    return datum(record, view, _BASAL, fields | named | temp)


def _length_ms(segment: Segment, view: View) -> int:
    """Of a running segment what is known so far: up to the profile's newest record."""
    if segment.length_ms is not None:
        return min(segment.length_ms, _LONGEST_MS)
    return min(view.prepared.newest_ms[segment.record.profile] - segment.start_ms, _LONGEST_MS)


def _temp(record: Basal, rate_u_h: float) -> dict[str, Any]:
    if record.percent is None:
        return {}
    fields: dict[str, Any] = {"percent": number(record.percent / 100)}
    suppressed = rate_u_h * 100 / record.percent if record.percent >= 1 else None
    if suppressed is None or suppressed > _HIGHEST_RATE_U_H:
        return fields
    scheduled = {"type": _BASAL, "deliveryType": "scheduled", "rate": number(suppressed)}
    return fields | {"suppressed": scheduled | lean(scheduleName=trimmed(record.schedule))}


def _suspend(segment: Segment, length_ms: int, view: View) -> Result:
    record = segment.record
    closed = {} if segment.length_ms is None else {"duration": length_ms}
    fields = {
        "status": "suspended",
        "reason": {"suspended": "automatic" if record.suspend_reason in _BY_PUMP else "manual"},
        **closed,
        **lean(payload=lean(reason=record.suspend_reason)),
    }
    return (
        *datum(record, view, _BASAL, {"deliveryType": "suspend", "duration": length_ms}),
        *datum(record, view, "deviceEvent/status", fields),
    )
