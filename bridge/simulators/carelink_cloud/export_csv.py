"""The cloud's CSV export: sections of display columns, newest rows first, in the device's own time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime

from bridge.model.units import MGDL_PER_MMOL
from bridge.simulators.carelink_cloud.people import Person
from bridge.simulators.patient import (
    Alarm,
    Bolus,
    Calibration,
    Event,
    FingerStick,
    Meal,
    MicroDose,
    PenDose,
    SensorReading,
    Therapy,
    TimeChange,
)

Row = tuple[datetime, Mapping[str, str]]
_G, _ISF = "({glucose})", "({glucose}/U)"
COLUMNS = (
    "Index", "Date", "Time", "New Device Time", "BG Source", f"BG Reading {_G}", "Linked BG Meter ID",
    "Basal Rate (U/h)", "Temp Basal Amount", "Temp Basal Type", "Temp Basal Duration (h:mm:ss)", "Bolus Type",
    "Bolus Volume Selected (U)", "Bolus Volume Delivered (U)", "Bolus Duration (h:mm:ss)", "Prime Type",
    "Prime Volume Delivered (U)", "Estimated Reservoir Volume after Fill (U)", "Alert", "User Cleared Alerts",
    "Suspend", "Rewind", "BWZ Estimate (U)", f"BWZ Target High BG {_G}", f"BWZ Target Low BG {_G}",
    "BWZ Carb Ratio (g/U)", f"BWZ Insulin Sensitivity {_ISF}", "BWZ Carb Input (grams)",
    f"BWZ BG/SG Input {_G}", "BWZ Correction Estimate (U)", "BWZ Food Estimate (U)", "BWZ Active Insulin (U)",
    "BWZ Status", f"Sensor Calibration BG {_G}", f"Sensor Glucose {_G}", "ISIG Value", "Event Marker",
    "Bolus Number", "Bolus Cancellation Reason", "BWZ Unabsorbed Insulin Total (U)", "Final Bolus Estimate",
    "Scroll Step Size", "Insulin Action Curve Time", "Sensor Calibration Rejected Reason", "Preset Bolus",
    "Bolus Source", "BLE Network Device", "Device Update Event", "Network Device Associated Reason",
    "Network Device Disassociated Reason", "Network Device Disconnected Reason", "Sensor Exception",
    "Preset Temp Basal Name", "Sensor State",
)  # fmt: skip
_MODEL, _SENSOR = "MiniMed 780G MMT-1886", "Guardian™ 4 Sensor"
_SOURCES = {
    "RECOMMENDED": "CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS", "MANUAL": "UNDETERMINED",
    "AUTOCORRECTION": "CLOSED_LOOP_BG_CORRECTION",
}  # fmt: skip
_ALERTS = {
    802: "LOW SG", 805: "ALERT BEFORE LOW", 816: "ALERT ON HIGH: tone and vibration", 797: "SENSOR CONNECTED",
    794: "SENSOR EXPIRED", 819: "SMARTGUARD EXIT", 869: "REMINDER",
}  # fmt: skip


class Export:
    """Writes exports of one person. `comma_decimals`: `;` between cells and `,` in numbers."""

    def __init__(self, person: Person, *, comma_decimals: bool = False) -> None:
        self._person, self._pump = person, person.patient.pump
        self._mark, self._cells = (",", ";") if comma_decimals else (".", ",")
        self._mmol = person.display_mmol

    def write(self, events: Sequence[Event], first: date, last: date) -> bytes:
        """The file of these days, by the device's clock; `events` are oldest first."""
        sections = {"Pump": list(self._pump_rows(events)), "Sensor": list(self._sensor_rows(events))}
        totals = list(self._daily_totals(events))
        if totals:
            sections["Aggregated Auto Insulin Data"] = totals
        lines = [*self._preamble(first, last)]
        for name, rows in sections.items():
            kept = [row for row in rows if first <= row[0].date() <= last]
            lines += [
                "",
                self._cells.join(("-------", _MODEL, "Pump" if name == "Pump" else name, self.serial, "------- ")),
            ]
            lines += self._table(kept)
        return "\r\n".join(["\ufeff" + lines[0], *lines[1:], ""]).encode()

    @property
    def serial(self) -> str:
        """The pump's serial number."""
        return f"NG{self._person.patient.seed % 10**7:07d}H"

    # --- the file ---

    def _preamble(self, first: date, last: date) -> Iterator[str]:
        join = self._cells.join
        yield join(("Last Name", "First Name", "Patient ID", "System ID", "Start Date", "End Date", "Device", _MODEL,
                    "Hardware Version", "A1.01", "Firmware Version", "8.13.2"))  # fmt: skip
        days = (f"{day:%m-%d-%Y} 12:00:00 AM" for day in (first, last))
        told = (self._person.last_name, self._person.first_name, "", "", *days, "Serial Number")
        yield join((*(f'"{text}"' for text in told), self.serial, "Software Version", ""))
        yield join(("Patient DOB", "", "", "", "", "", "CGM", _SENSOR))
        yield "Device data shown may exceed selected date range."

    def _table(self, rows: Iterable[Row]) -> Iterator[str]:
        unit = "mmol/L" if self._mmol else "mg/dL"
        names = [name.format(glucose=unit) for name in COLUMNS]
        yield self._cells.join(names)
        plain = [name.partition(" (")[0] for name in COLUMNS]
        newest_first = sorted(rows, key=lambda row: row[0], reverse=True)
        for index, (wall, cells) in enumerate(newest_first):
            placed = {
                **cells,
                "Index": self._number(index, 5), "Date": f"{wall:%Y/%m/%d}", "Time": f"{wall:%H:%M:%S}",
            }  # fmt: skip
            yield self._cells.join(placed.get(name, "") for name in plain)

    def _number(self, value: float, digits: int = 3) -> str:
        return f"{value:.{digits}f}".replace(".", self._mark)

    def _glucose(self, mgdl: int) -> str:
        return self._number(mgdl / MGDL_PER_MMOL, 1) if self._mmol else str(mgdl)

    # --- rows ---

    def _sensor_rows(self, events: Iterable[Event]) -> Iterator[Row]:
        for event in events:
            if isinstance(event, SensorReading) and event.mgdl is not None:
                cells = {"ISIG Value": self._number(event.mgdl / 5, 2), "Sensor State": event.state}
                yield self._pump.wall(event.time), {"Sensor Glucose": self._glucose(event.mgdl), **cells}
            elif isinstance(event, SensorReading):
                yield self._pump.wall(event.time), {"Sensor Exception": event.state}

    def _pump_rows(self, events: Iterable[Event]) -> Iterator[Row]:
        number = 0
        for event in events:
            if isinstance(event, Bolus):
                number += 1
                yield from self._bolus(event, number)
            elif cells := self._plain(event):
                yield self._pump.wall(event.time), cells

    def _plain(self, event: Event) -> dict[str, str]:
        match event:
            case Meal() if self._person.patient.therapy is Therapy.SMARTGUARD:
                return {"BWZ Carb Input": self._number(event.carbs_g, 0), "BWZ Status": "Delivered"}
            case Meal():
                return {"Event Marker": f"Meal: {self._number(event.carbs_g, 2)}grams"}
            case PenDose():
                return {"Event Marker": f"Insulin: {self._number(event.dose_u, 2)}"}
            case FingerStick():
                return {"BG Source": "ENTERED_IN_BG_ENTRY", "BG Reading": self._glucose(event.mgdl)}
            case Calibration():
                return {"Sensor Calibration BG": self._glucose(event.mgdl)}
            case Alarm():
                return {"Alert": _ALERTS.get(event.fault_id, f"ALERT {event.fault_id}")}
            case TimeChange():
                after = self._pump.wall(event.time)
                return {"New Device Time": f"{after:%Y/%m/%d %H:%M:%S}"}
        return {}

    def _bolus(self, bolus: Bolus, number: int) -> Iterator[Row]:
        """Each part by a row when it was programmed and a row when it ended."""
        given = bolus.delivered()
        dual = bolus.shape == "DUAL"
        parts = (
            ("Dual/Normal" if dual else "Normal", bolus.fast_u, given.fast_u, 0),
            ("Dual/Square" if dual else "Square", bolus.extended_u, given.extended_u, bolus.duration_min),
        )
        for kind, selected_u, delivered_u, minutes in parts:
            if not selected_u:
                continue
            cells = {
                "Bolus Type": kind, "Bolus Volume Selected": self._number(selected_u), "Bolus Number": str(number),
                "Bolus Source": _SOURCES[bolus.activation],
            }  # fmt: skip
            if minutes:
                cells["Bolus Duration"] = f"{minutes // 60}:{minutes % 60:02d}:00"
            yield self._pump.wall(bolus.time), cells
            ended = {"Bolus Volume Delivered": self._number(delivered_u)}
            if bolus.cancelled_after_s is not None:
                ended["Bolus Cancellation Reason"] = "USER_CANCELLED"
            yield self._pump.wall(bolus.ends), {**cells, **ended}

    def _daily_totals(self, events: Iterable[Event]) -> Iterator[Row]:
        """The loop's micro-doses as one sum a day, stamped at its midnight."""
        sums = defaultdict[date, float](float)
        for event in events:
            if isinstance(event, MicroDose):
                sums[self._pump.wall(event.time).date()] += event.dose_u
        for day, total_u in sums.items():
            cells = {"Bolus Volume Delivered": self._number(total_u), "Bolus Source": "CLOSED_LOOP_AUTO_INSULIN"}
            yield datetime(day.year, day.month, day.day), cells  # noqa: DTZ001
