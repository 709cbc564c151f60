"""The great mass of an answer, taken in one go: readings and micro-doses about which nothing is in question.

Of a first answer they become records; of a later one those that stand as they were first seen are left aside, since
the journal has them. Whatever is not plain (a doubt, an old spelling, the newest readings, a clock that was changed)
goes the careful way; the outcome is the same, only slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from bridge.contracts import Memory, Sighting
from bridge.model.records import Basal, Record, SensorGlucose
from bridge.model.time import EPOCH
from bridge.readers.carelink_cloud.clocks import Clocks
from bridge.readers.carelink_cloud.glucose import FINE, HIGHEST, LOWEST, OK
from bridge.readers.carelink_cloud.making import Maker
from bridge.readers.carelink_cloud.markers import DOSE, LARGEST_DOSE_U, MICRO_DOSE, hourly
from bridge.readers.carelink_cloud.rows import MOST_ROWS, READ, SG, TIME_CHANGE
from bridge.readers.carelink_cloud.timestamps import WALL_EPOCH, in_years
from bridge.readers.carelink_cloud.values import listed, mapping, number

_STAMP_LENGTH = 19
_LAST_READINGS = 3
"""The arrow hangs on these."""
_STAMPS = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d;)*", re.ASCII)
_UNUSUAL = frozenset({"GUID", "referenceGUID", "bolusAmount"})
_Value: TypeAlias = tuple[float, dict[str, Any]]
"""What tells the row from its like, and the record's fields."""


@dataclass(slots=True)
class Plain:
    """What was taken or left aside, and the answer without it. `keys` are the source keys of both."""

    rest: Mapping[str, Any]
    records: list[Record] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)


def take_plain(patient: Mapping[str, Any], clocks: Clocks, memory: Memory, maker: Maker) -> Plain:
    """The plain rows; nothing taken where the careful way is called for."""
    readings, markers = listed(patient.get("sgs")), listed(patient.get("markers"))
    if max(len(readings), len(markers)) > MOST_ROWS:
        return Plain(patient)
    if clocks.offset_min is None or not _in_order(readings):
        return Plain(patient)
    again = bool(memory.sightings) or "offset_min" in memory.state
    seen = _seen(memory, clocks.offset_min) if again else None
    if again and not seen:
        return Plain(patient)
    plain = Plain(patient)
    taking = _Taking(plain, clocks, maker, seen)
    older, newest = readings[:-_LAST_READINGS], readings[-_LAST_READINGS:]
    left = taking.take(SensorGlucose, SG, OK, older, "timestamp", _glucose)
    left_markers = taking.take(Basal, MICRO_DOSE, DOSE, markers, "displayTime", _dose)
    if any(mapping(marker).get("type") == TIME_CHANGE for marker in left_markers):
        return Plain(patient)
    plain.rest = {**patient, "sgs": left + newest, "markers": left_markers}
    return plain


def _seen(memory: Memory, offset_min: int) -> dict[tuple[str, str], Sighting | None]:
    """Sightings by key and content, None where one is not plain; empty where the clock or this program changed."""
    if memory.state.get("read") != READ or memory.state.get("offset_min") != offset_min:
        return {}
    found: dict[tuple[str, str], Sighting | None] = {}
    start = WALL_EPOCH + timedelta(minutes=offset_min)
    for text, sighting in memory.sightings.items():
        key, content, *facts = text.split("|")
        stamp = content if facts[-1:] and facts[-1].startswith("guid") else key.partition(":")[2][:_STAMP_LENGTH]
        try:
            wall = datetime.fromisoformat(stamp)
        except ValueError:
            return {}
        if wall - start != sighting.time - EPOCH:
            return {}
        other = found.get((key, content), sighting)
        plain = len(facts) == 1 and not facts[0].endswith("?") and sighting.source_key == key
        found[key, content] = sighting if plain and other is not None else None
    return found


def _in_order(readings: list[Any]) -> bool:
    """Whether the stamps rise from row to row, the newest in the plain form."""
    stamps: list[Any] = [raw.get("timestamp") if isinstance(raw, dict) else None for raw in readings]
    return _are_plain(stamps[-_LAST_READINGS:]) and _are_text(stamps) and stamps == sorted(set(stamps))


def _are_text(stamps: list[Any]) -> bool:
    return all(isinstance(stamp, str) for stamp in stamps)


def _are_plain(stamps: list[Any]) -> bool:
    """Whether all are text of the form `YYYY-MM-DDTHH:MM:SS`."""
    return _are_text(stamps) and bool(_STAMPS.fullmatch(";".join([*stamps, ""])))


def _walls(stamps: list[str]) -> list[datetime]:
    """Wall clocks of plain stamps; none when one of them is no time of our years."""
    try:
        walls = list(map(datetime.fromisoformat, stamps))
    except ValueError:
        return []
    return walls if all(in_years(end) for end in (min(walls), max(walls))) else []


def _glucose(raw: Any) -> _Value | None:
    """A reading's value, if there is nothing else to say about it."""
    mgdl = raw.get("sg")
    if type(mgdl) is not int or not LOWEST <= mgdl <= HIGHEST:
        return None
    return None if raw.get("isBackfill") or raw.get("sensorState") not in FINE else (mgdl, {"mgdl": mgdl})


def _dose(raw: Any) -> _Value | None:
    """The dose of a marker that is a micro-dose and has nothing else to it."""
    if not isinstance(raw, dict) or raw.get("type") != MICRO_DOSE or not _UNUSUAL.isdisjoint(raw):
        return None
    text = mapping(mapping(raw.get("data")).get("dataValues")).get("bolusAmount")
    return _dose_of(text) if isinstance(text, str) else None


@lru_cache(maxsize=1024)
def _dose_of(text: str) -> _Value | None:
    units = number(text)
    if units is None or not 0 <= units <= LARGEST_DOSE_U:
        return None
    dose = round(float(units), 3)
    return dose, {"rate_u_h": hourly(dose), "dose_u": dose}


class _Taking:
    def __init__(
        self,
        plain: Plain,
        clocks: Clocks,
        maker: Maker,
        seen: Mapping[tuple[str, str], Sighting | None] | None,
    ) -> None:
        self._plain, self._clocks, self._maker, self._seen = plain, clocks, maker, seen

    def take(
        self,
        model: type[Record],
        kind: str,
        body: Mapping[str, Any],
        rows: list[Any],
        stamp: str,
        value_of: Callable[[Any], _Value | None],
    ) -> list[Any]:
        """Take the rows that have a plain value and stamp, all with that body; the others."""
        values = list(map(value_of, rows))
        found = [value for value in values if value]
        stamps = [row.get(stamp) for row, value in zip(rows, values, strict=True) if value]
        walls = _walls(stamps) if stamps and _are_plain(stamps) else []
        horizon, offset_min = self._clocks.horizon, self._clocks.offset_min or 0
        start = EPOCH - timedelta(minutes=offset_min)
        times = [start + (wall - WALL_EPOCH) for wall in walls]
        if not times or horizon is None or max(times) > horizon or len(set(stamps)) < len(stamps):
            return rows
        keys = [f"{kind}:{text}" for text in stamps]
        if self._seen is not None:
            return self._unseen(rows, values, keys)
        placed = zip(keys, times, walls, [offset_min] * len(keys), [checked for _, checked in found], strict=True)
        self._plain.records += self._maker.alike(model, body, placed)
        for key, time, (content, _) in zip(keys, times, found, strict=True):
            self._plain.sightings[f"{key}|{content}|"] = Sighting(time, key)
        self._plain.keys.update(keys)
        return [row for row, value in zip(rows, values, strict=True) if not value]

    def _unseen(self, rows: list[Any], values: list[_Value | None], keys: list[str]) -> list[Any]:
        """Leave aside what stands as it was first seen; the others."""
        left, key = [], iter(keys)
        for row, value in zip(rows, values, strict=True):
            name = next(key) if value else ""
            if value and self._seen and self._seen.get((name, str(value[0]))):
                self._plain.keys.add(name)
            else:
                left.append(row)
        return left
