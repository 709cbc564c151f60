"""The pump as it stood at the read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.records import PumpStatus
from bridge.model.time import iso_wall
from bridge.readers.medtronic_stick import commands
from bridge.readers.medtronic_stick.commands import Answer, Battery, Reservoir, Status, TempBasal
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.time import Moment


def make_status(answers: Mapping[int, Answer], maker: Maker, moment: Moment, new: bool) -> None:
    """Make the status, unless the pump told nothing of it."""
    body = read_status(answers, new)
    if any(value is not None for value in body.values()):
        body["pump_clock"] = moment.wall
        maker.make(PumpStatus, f"status:{iso_wall(moment.wall)}", moment, body)


def read_status(answers: Mapping[int, Answer], new: bool) -> dict[str, Any]:
    """The body of `pump_status`; None for what was not told."""
    battery, reservoir = answers.get(commands.BATTERY), answers.get(commands.RESERVOIR)
    status, temp = answers.get(commands.STATUS), answers.get(commands.TEMP_BASAL)
    suspended = status.suspended if isinstance(status, Status) else None
    return {
        "reservoir_u": reservoir.units if isinstance(reservoir, Reservoir) else None,
        "battery_v": battery.volts if isinstance(battery, Battery) else None,
        "suspended": suspended,
        "bolusing": status.bolusing if isinstance(status, Status) else None,
        "active_basal_u_h": 0.0 if suspended else _active_u_h(temp, new),
    }


def _active_u_h(temp: Answer | None, new: bool) -> float | None:
    """A temporary rate in U/h; without one, old pumps tell the scheduled rate in its place."""
    if not isinstance(temp, TempBasal) or temp.rate_u_h is None:
        return None
    return temp.rate_u_h if temp.remaining_min or not new else None
