"""Made-up exports of any length in both generations, with all that hangs together over rows and days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_MODEL, _SERIAL = "MiniMed 780G MMT-1884", "NG0000001H"
_PUMP = "Paradigm Revel - 723"
_G2 = (
    "Index,Date,Time,New Device Time,BG Source,BG Reading (mg/dL),Linked BG Meter ID,Basal Rate (U/h),"
    "Temp Basal Amount,Temp Basal Type,Temp Basal Duration (h:mm:ss),Bolus Type,Bolus Volume Selected (U),"
    "Bolus Volume Delivered (U),Bolus Duration (h:mm:ss),Prime Type,Prime Volume Delivered (U),Alert,"
    "User Cleared Alerts,Suspend,Rewind,BWZ Estimate (U),BWZ Carb Ratio (g/U),BWZ Carb Input (grams),"
    "BWZ BG/SG Input (mg/dL),BWZ Insulin Sensitivity (mg/dL/U),Sensor Calibration BG (mg/dL),"
    "Sensor Glucose (mg/dL),ISIG Value,Event Marker,Bolus Number,Final Bolus Estimate,Bolus Source,"
    "Sensor Exception,Sensor State"
)
_G1 = (
    "Index,Date,Time,Timestamp,New Device Time,BG Reading (mg/dL),Linked BG Meter ID,Temp Basal Amount (U/h),"
    "Temp Basal Type,Temp Basal Duration (hh:mm:ss),Bolus Type,Bolus Volume Selected (U),"
    "Bolus Volume Delivered (U),Programmed Bolus Duration (hh:mm:ss),Prime Type,Prime Volume Delivered (U),"
    "Suspend,Rewind,BWZ Estimate (U),BWZ Target High BG (mg/dL),BWZ Target Low BG (mg/dL),"
    "BWZ Carb Ratio (grams),BWZ Insulin Sensitivity (mg/dL),BWZ Carb Input (grams),BWZ BG Input (mg/dL),"
    "BWZ Correction Estimate (U),BWZ Food Estimate (U),BWZ Active Insulin (U),Alarm,"
    "Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),ISIG Value,Daily Insulin Total (U),Raw-Type,"
    "Raw-Values,Raw-ID,Raw-Upload ID,Raw-Seq Num,Raw-Device Type"
)
_NAMES = {name.partition(" (")[0]: place for place, name in enumerate(_G2.split(","))}

# --- second generation -----------------------------------------------------------------------------

Cells = dict[str, str]


def second(first: datetime, days: int, *, sensor: bool = True, changes: bool = False, seed: int = 1) -> bytes:
    """A 780G in and out of automatic mode; `changes`: its clock is moved for summer time."""
    dice = Random(seed)
    pump: list[tuple[datetime, Cells]] = []
    glucose: list[tuple[datetime, Cells]] = []
    for day in range(days):
        start = first + day * _DAY
        pump += _auto_day(start) if sensor and day % 3 else _manual_day(start, dice)
        pump += _eaten(start, dice)
        pump += _clock_change(start) if changes else []
        if sensor:
            at = (start + n * 5 * _MINUTE + timedelta(seconds=10) for n in range(288))
            glucose += [(each, {"Sensor Glucose": f"{dice.randrange(60, 260)}", "ISIG Value": "21.5"}) for each in at]
    mark = f"-------,{_MODEL},{{}},{_SERIAL},-------"
    lines = [
        "Last Name,First Name,Patient ID,System ID,Start Date,End Date,Device," + _MODEL,
        f'"Muster","Maria","pat-77","","","","Serial Number",{_SERIAL},Software Version,6.21U',
        "Patient DOB,1971-05-04,,,,,CGM,Guardian 4 Sensor", "",
        mark.format("Pump"), _G2, *_newest_first(pump), "",
        mark.format("Sensor"), _G2, *_newest_first(glucose), "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def _newest_first(rows: list[tuple[datetime, Cells]]) -> Iterator[str]:
    rows.sort(key=lambda row: row[0], reverse=True)
    for number, (at, filled) in enumerate(rows):
        cells = [""] * len(_NAMES)
        cells[:3] = [f"{number}.00000", f"{at:%Y/%m/%d}", f"{at:%H:%M:%S}"]
        for name, text in filled.items():
            cells[_NAMES[name]] = text
        yield ",".join(cells)


def _auto_day(start: datetime) -> Iterator[tuple[datetime, Cells]]:
    for n in range(0, 288, 2):
        dose = {"Bolus Volume Delivered": f"0.{n % 7 + 1}", "Bolus Source": "CLOSED_LOOP_AUTO_BASAL"}
        yield start + n * 5 * _MINUTE + timedelta(seconds=17), dose


def _manual_day(start: datetime, dice: Random) -> Iterator[tuple[datetime, Cells]]:
    for hour in (0, 4, 9, 13, 18, 22):
        yield start + timedelta(hours=hour), {"Basal Rate": f"0.{hour + 10}"}
    half = {"Temp Basal Amount": "50", "Temp Basal Type": "Percent", "Temp Basal Duration": "3:00:00"}
    yield start + timedelta(hours=22, minutes=dice.randrange(90)), half
    if dice.random() < 0.3:
        at = start + timedelta(hours=23, minutes=dice.randrange(50))
        yield at, {"Suspend": "USER_SUSPEND"}
        yield at + timedelta(minutes=dice.choice((40, 400, 90, 60, 30, 6000))), {"Suspend": "NORMAL_PUMPING"}


def _eaten(start: datetime, dice: Random) -> Iterator[tuple[datetime, Cells]]:
    for meal, hour in enumerate((7, 12, 19, 23)):
        at, amount = start + timedelta(hours=hour, minutes=dice.randrange(58)), f"{dice.randrange(20, 90) / 10}"
        number, kind = f"{start.toordinal() * 4 + meal}", "Dual/Square" if meal == 2 else "Normal"
        grams = {"BWZ Carb Input": f"{dice.randrange(20, 90)}", "BWZ BG/SG Input": f"{dice.randrange(80, 200)}"}
        yield at, {"BWZ Estimate": amount, "BWZ Carb Ratio": "10", "Final Bolus Estimate": amount, **grams}
        said = {"Bolus Source": "BOLUS_WIZARD", "Bolus Number": number, "Bolus Volume Selected": amount}
        first = {"Bolus Type": "Dual (normal part)" if meal == 2 else kind}
        yield at + 9 * timedelta(seconds=1), {**said, **first}
        yield at + 3 * _MINUTE, {**said, **first, "Bolus Volume Delivered": amount}
        if meal == 2:
            square = {**said, "Bolus Type": "Dual (square part)", "Bolus Duration": "5:00:00"}
            yield at + 9 * timedelta(seconds=1), square
            yield at + timedelta(hours=5), {**square, "Bolus Volume Delivered": amount}
        value = {"BG Reading": f"{dice.randrange(60, 250)}", "BG Source": "ENTERED_IN_BG_ENTRY"}
        yield at - 4 * _MINUTE, value
        yield at - 3 * _MINUTE, {**value, "BG Source": "BG_SENT_FOR_CALIB"}
    yield start + timedelta(hours=23, minutes=59, seconds=59), {"Alert": "LOW RESERVOIR"}
    yield start + timedelta(hours=23, minutes=59, seconds=59), {"Alert": "LOW RESERVOIR", "Rewind": "Rewind"}


def _clock_change(start: datetime) -> list[tuple[datetime, Cells]]:
    hours = {(3, 29): 1, (10, 25): -1}.get((start.month, start.day))
    at = start + timedelta(hours=14, minutes=6, seconds=33)
    return [] if hours is None else [(at, {"New Device Time": f"{at + timedelta(hours=hours):%Y/%m/%d %H:%M:%S}"})]


# --- first generation ------------------------------------------------------------------------------

Row = tuple[datetime, str, str, str]
"""Wall clock, type, values, and the row's own number where others refer to it."""


def first(first_day: datetime, days: int, *, sensor: bool = True, changes: bool = False, seed: int = 1) -> bytes:
    """A 723 uploaded every 30 days, each upload with what the one before had of its last three days."""
    dice = Random(seed)
    uploads: list[list[Row]] = [[]]
    for day in range(days):
        start = first_day + day * _DAY
        rows = sorted(_first_day(start, day, sensor, changes, dice), key=lambda row: row[0])
        uploads[-1] += rows
        if day % 30 == 29 or day == days - 1:
            uploads[-1] += _current(start + _DAY - _MINUTE, len(uploads))
            again = [row for row in uploads[-1] if row[0] > start - 3 * _DAY and not row[1].startswith("Current")]
            uploads.append(again)
    lines = [
        "Medtronic Diabetes CareLink Personal Data Export File (v1.0.1) ", "PATIENT INFO", "Name,Maria Muster",
        "DEVICE INFO", f"Pump:,{_PUMP},#900001,Time Changes: 2",
        f"DEVICE DATA ({sum(map(len, uploads[:-1]))} records)", _G1,
        *_in_file_order(uploads[:-1]), "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def _in_file_order(uploads: list[list[Row]]) -> Iterator[str]:
    placed = [(row, upload, len(rows) - at) for upload, rows in enumerate(uploads) for at, row in enumerate(rows)]
    placed.sort(key=lambda each: each[0][0])
    for number, ((at, kind, values, name), upload, seq) in enumerate(placed, start=1):
        date, time = f"{at.month}/{at.day}/{at:%y}", f"{at:%H:%M:%S}"
        name = name or f"{number + 9_000_000}"
        yield (
            f'{number},{date},{time},{date} {time}{"," * 29},{kind},"{values}",{name},{50000001 + upload},{seq},{_PUMP}'
        )


def _first_day(start: datetime, day: int, sensor: bool, changes: bool, dice: Random) -> Iterator[Row]:
    def at(hour: float, second: int = 0) -> datetime:
        return start + timedelta(hours=hour, seconds=second)

    for place, hour in enumerate((0, 5, 8, 12, 17, 22)):
        rate, step = 0.7 + place / 10, f"START_TIME={hour * 3_600_000}"
        yield (
            at(hour),
            "BasalProfileStart",
            f"PATTERN_NAME=standard, PROFILE_INDEX={place}, RATE={rate:.2f}, {step}",
            "",
        )
    for meal in (7.2, 12.4, 18.9, 23.93):
        amount, bg = dice.randrange(10, 90) / 10, dice.randrange(70, 260)
        yield at(meal, -7), "BGReceived", f"AMOUNT={bg}, ACTION_REQUESTOR=paradigm link or b key", ""
        yield at(meal, -7), "CalBGForPH", f"AMOUNT={bg}, ACTION_REQUESTOR=paradigm link or b key", ""
        yield at(meal), "BolusWizardBolusEstimate", _wizard(amount, bg), ""
        if meal < 20:
            yield at(meal, 2), "UnabsorbedInsulin", f"BOLUS_ESTIMATE_DATUM=1, INDEX=0, AMOUNT={bg / 100}", ""
        yield at(meal, 5), "BolusNormal", f"AMOUNT={amount}, PROGRAMMED_AMOUNT={amount}, IS_DUAL_COMPONENT=false", ""
    yield at(21, dice.randrange(3600)), "ChangeTempBasalPercent", "PERCENT_OF_RATE=60, DURATION=14400000", ""
    if dice.random() < 0.3:
        stop = dice.randrange(3600)
        yield at(15, stop), "ChangeSuspendState", "STATE=user_suspend, PRESTATE=normal_pumping", ""
        again = stop + dice.choice((3600, 30_000, 1800, 7200, 90, 500_000))
        yield at(15, again), "ChangeSuspendState", "STATE=normal_pumping, PRESTATE=user_suspend", ""
    yield at(23.999), "Rewind", "", ""
    yield at(23.999), "Rewind", "", ""
    if day % 11 == 5:
        yield at(10.5), "ChangeMaxBolus", f"AMOUNT={5 + day % 7}", ""
    hours = {(3, 29): 1, (10, 25): -1}.get((start.month, start.day), 0) if changes else 0
    if hours:
        new = at(14.5 + hours) - datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
        yield at(14.5), "ChangeTime", f"NEW_TIME={new // timedelta(milliseconds=1)}, ACTION_REQUESTOR=pump", ""
    for n in range(288 if sensor else 0):
        value = dice.randrange(60, 260)
        yield (
            at(n / 12, 21),
            "GlucoseSensorData",
            f"AMOUNT={value}, ISIG=21.{n % 90}, VCNTR=-0.54, BACKFILL_INDICATOR=false",
            "",
        )


def _wizard(amount: float, bg: int) -> str:
    parts = {
        "BG_INPUT": bg, "BG_UNITS": "mg dl", "CARB_INPUT": 40, "CARB_UNITS": "grams", "CARB_RATIO": 10,
        "INSULIN_SENSITIVITY": 40, "BG_TARGET_LOW": 90, "BG_TARGET_HIGH": 110, "BOLUS_ESTIMATE": amount,
        "CORRECTION_ESTIMATE": 0, "FOOD_ESTIMATE": amount, "UNABSORBED_INSULIN_TOTAL": 0,
    }  # fmt: skip
    return ", ".join(f"{name}={value}" for name, value in parts.items())


def _current(at: datetime, upload: int) -> Iterator[Row]:
    """What the pump's settings are at an upload."""
    pattern = f"{8_000_000 + upload}"
    yield at, "CurrentActiveBasalProfilePattern", "PATTERN_NAME=standard", ""
    yield at, "CurrentBasalProfilePattern", "PATTERN_NAME=standard, NUM_PROFILES=6", pattern
    for place, hour in enumerate((0, 5, 8, 12, 17, 22)):
        rate = f"RATE={0.7 + place / 10:.2f}, START_TIME={hour * 3_600_000}"
        yield at, "CurrentBasalProfile", f"PATTERN_DATUM={pattern}, PROFILE_INDEX={place}, {rate}", ""
    yield at, "CurrentMaxBolus", f"AMOUNT={5 + upload % 3}", ""
    yield at, "CurrentBatteryStatus", "VOLTAGE=143", ""
    yield at, "CurrentTotalRemaining", "AMOUNT=120.5", ""
