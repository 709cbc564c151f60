"""The picture of now, and settings with their history."""

from __future__ import annotations

from typing import Any

from bridge.contracts import Decoded
from tests.readers.medtronic_600.decode.builders import (
    START,
    after,
    decoded,
    event,
    of_kind,
    settings_answers,
    status_answer,
    table_answer,
    u16,
    units,
    visit,
)

STATUS = status_answer(
    flags=(3, b"\x50"), basal=(0x1B, units(0.8)), battery=(0x2A, b"\x4b"), reservoir=(0x2B, units(91.65)),
    iob=(0x31, units(1.7)), state=(0x35, u16(770)), transmitter=(0x45, b"\x07"),
)  # fmt: skip


def with_settings(**more: bytes) -> dict[str, bytes]:
    return {"013c": STATUS, **settings_answers(**more)}


def picture(status: bytes, *events: bytes) -> Any:
    (found,) = of_kind(decoded(visit(*events, answers={"013c": status})), "pump_status")
    return found


def settings_of(found: Decoded) -> list[Any]:
    return of_kind(found, "pump_settings")


def test_picture() -> None:
    found = picture(STATUS)
    assert found.source_key == f"{START + 7200}:013C"
    assert (found.iob_u, found.reservoir_u, found.battery_pct, found.active_basal_u_h) == (1.7, 91.65, 75, 0.8)
    assert (found.suspended, found.bolusing, found.in_range, found.mode) == (False, False, True, None)
    assert (found.sensor_state, found.transmitter_battery_pct) == ("calibrate now", 47)
    assert found.pump_clock.isoformat() == "2017-09-01T14:00:00"
    assert found.raw["pattern"] == "Pattern 1"


def test_picture_without_a_sensor_and_suspended() -> None:
    found = picture(status_answer(flags=(3, b"\x01"), basal=(0x1B, units(0.8)), battery=(0x2A, b"\xff")))
    assert (found.sensor_state, found.transmitter_battery_pct, found.battery_pct) == (None, None, None)
    assert (found.suspended, found.active_basal_u_h) == (True, 0)


def test_picture_of_temps_and_boluses() -> None:
    by_percent = status_answer(flags=(3, b"\x34"), basal=(0x1B, units(0.8)), percent=(0x23, b"\x32"))
    assert (picture(by_percent).active_basal_u_h, picture(by_percent).bolusing) == (0.4, True)
    by_rate = status_answer(flags=(3, b"\x30"), basal=(0x1B, units(0.8)), rate=(0x1F, units(1.1)))
    assert picture(by_rate).active_basal_u_h == 1.1


def test_mode_is_that_of_the_newest_event() -> None:
    first = decoded(visit(event(0x08, START, auto=True), answers={"013c": STATUS}))
    (found,) = of_kind(first, "pump_status")
    assert (found.mode, found.active_basal_u_h) == ("auto", None)
    (later,) = of_kind(decoded(visit(answers={"013c": STATUS}, rtc=START + 7500), after(first)), "pump_status")
    assert later.mode == "auto"
    assert picture(STATUS, event(0x08, START)).mode == "manual"


def test_a_malformed_answer_harms_only_itself() -> None:
    found = decoded(visit(answers={"013c": STATUS[:50], **settings_answers()}))
    assert not found.records
    assert [line.code for line in found.diagnostics] == ["answer/malformed"]
    assert not found.understood


def test_settings() -> None:
    (found,) = settings_of(decoded(visit(answers=with_settings())))
    assert found.model_dump(include={"basal_schedules", "carb_ratios", "isf", "targets"}) == {
        "basal_schedules": {"Pattern 1": ({"start_min": 0, "rate_u_h": 0.5}, {"start_min": 480, "rate_u_h": 0.6})},
        "carb_ratios": ({"start_min": 0, "g_u": 10},),
        "isf": ({"start_min": 0, "mgdl_u": 50},),
        "targets": ({"start_min": 0, "low_mgdl": 90, "high_mgdl": 120},),
    }
    assert (found.active_schedule, found.dia_min, found.max_bolus_u, found.max_basal_u_h) == ("Pattern 1", 240, 10, 2)
    assert found.source_key.endswith(":1")
    assert len(found.source_key) == 18


def test_unchanged_settings_make_no_record_and_old_ones_count_on() -> None:
    first = decoded(visit(answers=with_settings()))
    same = decoded(visit(answers=with_settings(), rtc=START + 7500), after(first))
    assert not settings_of(same)
    other = table_answer(0x012F, [u16(60) + u16(33) + b"\0"])
    changed = decoded(visit(answers=with_settings(**{"012f": other}), rtc=START + 7800), after(same))
    (new,) = settings_of(changed)
    assert new.isf[0].mgdl_u == 60
    back = decoded(visit(answers=with_settings(), rtc=START + 8100), after(changed))
    (again,) = settings_of(back)
    assert again.source_key == settings_of(first)[0].source_key[:-1] + "2"


def test_half_of_the_settings_make_no_record() -> None:
    answers = with_settings()
    del answers["0123:8"]
    found = decoded(visit(answers=answers), after(decoded(visit(answers=with_settings()))))
    assert not settings_of(found)
    assert not settings_of(decoded(visit(answers=settings_answers())))


def test_settings_are_followed_back_through_the_history() -> None:
    old = event(0x5E, START, b"\0\1\0" + u16(45))
    new = event(0x5F, START, b"\0\1\0" + u16(50))
    most = event(0x59, START + 600, units(8) + units(10))
    earlier = event(0x5D, START - 900, b"\1\0" + u16(180) + b"\1\0" + u16(240))
    found = settings_of(decoded(visit(earlier, old, new, most, answers=with_settings())))
    assert [(each.isf[0].mgdl_u, each.max_bolus_u, each.dia_min) for each in found] == [
        (45, 8, 240),
        (50, 8, 240),
        (50, 10, 240),
    ]
    assert [each.device_time.isoformat()[11:] for each in found] == ["11:45:00", "12:00:00", "12:10:00"]


def test_changes_of_patterns_ratios_and_targets() -> None:
    events = [
        event(0x52, START, b"\1\1" + units(0.4) + b"\0"),
        event(0x53, START, b"\1\2" + units(0.5) + b"\0" + units(0.6) + b"\x10"),
        event(0x60, START + 60, b"\0\1\0" + (120).to_bytes(4, "big")),
        event(0x61, START + 60, b"\0\1\0" + (100).to_bytes(4, "big")),
        event(0x62, START + 120, b"\0\1\0" + u16(130) + u16(100)),
        event(0x63, START + 120, b"\0\1\0" + u16(120) + u16(90)),
        event(0x1C, START + 180, b"\7\1"),
    ]
    found = settings_of(decoded(visit(*events, answers=with_settings())))
    assert [
        (
            each.active_schedule,
            each.targets[0].low_mgdl,
            each.carb_ratios[0].g_u,
            len(each.basal_schedules["Pattern 1"]),
        )
        for each in found
    ] == [("Day Off", 100, 12, 2), ("Day Off", 100, 10, 2), ("Day Off", 90, 10, 2), ("Pattern 1", 90, 10, 2)]


def test_what_does_not_fit_the_present_is_not_followed() -> None:
    most = event(0x59, START + 600, units(8) + units(9))
    (found,) = settings_of(decoded(visit(most, answers=with_settings())))
    assert found.max_bolus_u == 10
    assert found.time == of_kind(decoded(visit(answers=with_settings())), "pump_status")[0].time


def test_a_change_told_again_makes_no_record() -> None:
    most = event(0x59, START + 600, units(8) + units(10))
    first = decoded(visit(most, answers=with_settings()))
    assert len(settings_of(first)) == 1
    assert not settings_of(decoded(visit(most, answers=with_settings(), rtc=START + 7500), after(first)))


def test_the_display_unit_is_remembered() -> None:
    characteristics = bytearray(0x36)
    characteristics[:3] = b"\x09\x02\x01"
    characteristics[0x35] = 1
    first = decoded(visit(answers=with_settings(**{"0201": bytes(characteristics)})))
    assert settings_of(first)[0].display_unit == "mmol/L"
    assert not settings_of(decoded(visit(answers=with_settings(), rtc=START + 7500), after(first)))
