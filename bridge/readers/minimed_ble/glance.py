"""The pump as it is now: one status record of a read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.model.records import PumpStatus
from bridge.readers.minimed_ble.drafts import Draft
from bridge.readers.minimed_ble.transfer import Transfer

_MODES = {"open_loop": "manual", "auto_basal": "auto", "safe_basal": "safe_basal"}


def glance(transfer: Transfer, newest: int, now: datetime) -> Draft | None:
    """A draft named by the newest event of the history, None when the status was not read. `now`: UTC."""
    state = transfer.state
    if state is None:
        return None
    loop = transfer.algorithm.loop if transfer.algorithm else None
    body: dict[str, Any] = {
        "iob_u": _number(transfer.on_board.iob_u if transfer.on_board else None),
        "reservoir_u": _number(state.reservoir_u) if state.reservoir_attached else None,
        "battery_pct": transfer.battery_pct,
        "suspended": state.suspended,
        "mode": _MODES.get(loop or ""),
        "active_basal_u_h": _number(transfer.basal.rate_u_h if transfer.basal else None),
        "sensor_state": state.sensor_state,
        "transmitter_battery_pct": transfer.sensor_battery_pct if state.sensor_paired else None,
        "in_range": True,
    }
    raw: dict[str, Any] = {
        "therapy": state.therapy,
        "operational": state.operational,
        "sensor_message": state.sensor_message,
    }
    if transfer.features is not None:
        raw["insulin_u_ml"] = _number(transfer.features.concentration)
    return Draft(PumpStatus, f"STATUS:{newest}", now.replace(tzinfo=None), body, raw=raw)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
