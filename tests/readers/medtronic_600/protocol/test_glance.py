"""What the status decides: whether there is news, and when to come again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.readers.medtronic_600.glance import Glance, glance
from bridge.simulators.next_link import Pump
from bridge.simulators.next_link.status import at_rest
from tests.readers.medtronic_600.protocol.world import World, world
from tests.support import vectors

STATUS = vectors.rows("medtronic-600", "status.jsonl")
CALM = Glance(
    bolus_reference=7, delivery=0, pattern=1, reservoir=1000, battery_pct=50, alert=0, alert_rtc=0, blood_mgdl=0,
    sensor_rtc=0, sensor_on=False, warming_up=False,
)  # fmt: skip


@pytest.mark.parametrize("row", STATUS, ids=lambda row: row["id"])
def test_status_vector(row: dict[str, Any]) -> None:
    wanted, seen = row["expected"], glance(bytes.fromhex(row["payload_hex"]))
    assert seen.bolus_reference == wanted["last_bolus_ref"]
    assert seen.pattern == wanted["basal_pattern"]
    assert seen.delivery == wanted["suspended"] | wanted["temp_basal"] << 5
    assert seen.reservoir == round(wanted["reservoir"] * 10_000)
    assert seen.battery_pct == wanted["battery"]
    assert seen.sensor_rtc == wanted["sg_rtc"]
    assert seen.sensor_on == wanted["cgm"]
    assert seen.warming_up == (wanted["sg_raw"] == 769)
    assert seen.alert == wanted["alert"]
    assert seen.low_battery == (wanted["battery"] <= 25)


@pytest.mark.parametrize(
    ("changed", "news"),
    [
        ({}, False), ({"bolus_reference": 8}, True), ({"delivery": 1}, True), ({"pattern": 2}, True),
        ({"reservoir": 900}, False), ({"reservoir": 2000}, True), ({"battery_pct": 25}, False),
        ({"battery_pct": 100}, True), ({"alert": 104}, True), ({"alert_rtc": 5}, True), ({"blood_mgdl": 120}, True),
        ({"sensor_rtc": 99}, False), ({"warming_up": True}, False),
    ],
)  # fmt: skip
def test_news(changed: dict[str, Any], news: bool) -> None:
    assert replace(CALM, **changed).changed_from(CALM) is news


def test_a_blood_value_that_goes_is_no_news() -> None:
    assert not CALM.changed_from(replace(CALM, blood_mgdl=120))
    assert replace(CALM, blood_mgdl=130).changed_from(replace(CALM, blood_mgdl=120))


def test_kept_and_restored() -> None:
    assert Glance.restore(CALM.dump()) == CALM
    assert Glance.restore({**CALM.dump(), "pattern": "1"}) is None
    assert Glance.restore({"pattern": 1}) is None


def _show(there: World, *, battery_pct: int = 75, sensor_age_s: float | None = None) -> None:
    """Let the pump show this from now on; `sensor_age_s` before the visit that begins now."""
    form = bytearray(at_rest(battery_pct))
    if sensor_age_s is not None:
        form[0] |= 0x40
        at = there.clock.now() - timedelta(seconds=sensor_age_s)
        form[0x32:0x34] = (120).to_bytes(2, "big")
        form[0x34:0x38] = there.pump.clock.rtc(at).to_bytes(4, "big")
    there.pump.canned[0x013C] = bytes(form)


def _asked(pump: Pump) -> int:
    return len(pump.spans.get(3, ()))


async def test_a_late_packet_puts_the_history_off_and_brings_us_back_soon() -> None:
    there = world(settings={"history_days": 1})
    _show(there, sensor_age_s=120)
    await there.one()
    assert _asked(there.pump) == 1
    there.clock.advance(8000)
    _show(there, sensor_age_s=400)
    batch = await there.one()
    assert _asked(there.pump) == 1
    assert there.kept["owed"] == ["02", "03"]
    assert timedelta(seconds=85) < batch.next_due - there.clock.now() <= timedelta(seconds=120)
    there.until_due(batch)
    batch = await there.one()
    assert batch.next_due - there.clock.now() > timedelta(seconds=150)
    there.until_due(batch)
    _show(there, sensor_age_s=60)
    await there.one()
    assert _asked(there.pump) == 2
    assert there.kept["owed"] == []


async def test_a_sensor_that_is_gone_does_not_keep_the_history_away() -> None:
    there = world(settings={"history_days": 1})
    _show(there, sensor_age_s=5000)
    await there.one()
    assert _asked(there.pump) == 1


async def test_a_low_battery_is_spared() -> None:
    there = world(settings={"history_days": 60})
    _show(there, battery_pct=25)
    batch = await there.one()
    for _ in range(8):
        assert batch.next_due - there.clock.now() == timedelta(seconds=900)
        there.until_due(batch)
        batch = await there.one()
    assert _asked(there.pump) == 3
    _show(there, battery_pct=50)
    for _ in range(3):
        there.until_due(batch)
        batch = await there.one()
    assert _asked(there.pump) == 6
