"""Forms that a site was seen to show, and forms it was seen to ignore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.mapping.made import make, only, to_nightscout
from tests.support import vectors

ROWS = {row["id"]: row for row in vectors.rows("nightscout", "display.jsonl")}
IGNORED = "pump-suspended-top-level"


def status(**fields: Any) -> dict[str, Any]:
    record = make("pump_status", **fields)
    return only(to_nightscout([record]), record)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, type]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path, float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def full() -> dict[str, Any]:
    return status(
        iob_u=1.35, reservoir_u=123.4, battery_pct=75, battery_v=1.42, suspended=True, bolusing=False, mode="auto",
        active_basal_u_h=0.8, sensor_minutes_left=3248, sensor_state="OK", transmitter_battery_pct=80,
        uploader_battery_pct=88, in_range=True,
    )  # fmt: skip


def test_every_form_shown_is_ours_too() -> None:
    shown = dict(leaves(ROWS["pump-full"]["uploaded"]["devicestatus"]))
    shown.pop("pump.battery.status")
    shown.pop("pump.extended.Sensor")
    ours = dict(leaves(full()))
    assert {path: ours.get(path) for path in shown} == shown
    assert ours["pump.extended.Sensor"] is str


def test_ignored_forms_are_not_ours() -> None:
    ignored = {path for path, _ in leaves(ROWS[IGNORED]["uploaded"]["devicestatus"])} - {"pump.clock"}
    assert ignored == {"pump.suspended"}
    assert not ignored & {path for path, _ in leaves(full())}


def test_numbers_are_numbers_even_at_zero() -> None:
    body = status(reservoir_u=0, battery_pct=0, iob_u=0)
    row = dict(leaves(ROWS["pump-reservoir-0-battery-0"]["uploaded"]["devicestatus"]))
    assert {path: kind for path, kind in leaves(body) if path in row} == row
    assert body["pump"]["iob"]["bolusiob"] == 0


def test_suspension_stands_inside_the_status() -> None:
    row = ROWS["pump-status-suspended"]["uploaded"]["devicestatus"]["pump"]["status"]
    assert full()["pump"]["status"]["suspended"] is row["suspended"] is True


@pytest.mark.parametrize(
    ("basal", "row"),
    [
        ({"rate_u_h": 1.5}, "temp-absolute"),
        ({"percent": 50}, "temp-percent-minus50"),
        ({"percent": 150}, "temp-percent-plus50"),
        ({"percent": 0}, "temp-zero"),
    ],
)
def test_temps_in_the_forms_that_are_drawn(basal: dict[str, Any], row: str) -> None:
    record = make("basal", delivery="temporary", duration_min=30, **basal)
    body = only(to_nightscout([record]), record)
    drawn = ROWS[row]["uploaded"]["treatment"]
    assert {name: body[name] for name in drawn if name != "age_s"} == {
        name: value for name, value in drawn.items() if name != "age_s"
    }


def test_a_rate_never_stands_alone() -> None:
    alone = ROWS["temp-rate-only"]["uploaded"]["treatment"]
    assert "absolute" not in alone
    for delivery in ("temporary", "automatic", "suspended"):
        record = make("basal", delivery=delivery, rate_u_h=2.2, duration_min=30)
        assert "absolute" in only(to_nightscout([record]), record)


def test_a_combo_as_drawn() -> None:
    drawn = ROWS["combo"]["uploaded"]["treatment"]
    record = make(
        "bolus", shape="dual", delivered_u=4, programmed_u=4, immediate_u=2, extended_u=2, duration_min=60,
        delivered_duration_min=60,
    )  # fmt: skip
    body = only(to_nightscout([record]), record)
    assert {name: body[name] for name in drawn} == drawn
