"""Every row of the shared vectors, values equal."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import Malformed
from bridge.readers.ble_cgm.measurement import CgmMeasurement, parse_measurements
from bridge.readers.ble_cgm.session import parse_control, parse_feature, parse_session_start
from bridge.wire.e2e_crc import Dialect, dialect_of
from tests.support import vectors

ROWS = vectors.rows("ble-and-contour", "cgm.jsonl")
DIALECTS = {"medtronic": Dialect.MEDTRONIC, "sig": None, "sig-crc": Dialect.PROFILE}


def exact(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


READ: dict[str, Callable[[CgmMeasurement], object]] = {
    "quality_raw": lambda found: found.quality,
    "range": lambda found: found.out_of_range,
}


def agrees(found: CgmMeasurement, expected: dict[str, Any]) -> None:
    for name, wanted in expected.items():
        said = READ[name](found) if name in READ else getattr(found, name)
        assert exact(said) == exact(wanted), name


def measurement(value: bytes, dialect: Dialect | None, expected: dict[str, Any]) -> None:
    if expected.get("error") == "crc":
        for told in (dialect, None):
            with pytest.raises(Malformed, match="checksum"):
                parse_measurements(value, told)
        return
    wanted = expected.get("records", [expected])
    for told in (dialect, None):
        found = parse_measurements(value, told)
        assert len(found) == len(wanted)
        for each, row in zip(found, wanted, strict=True):
            agrees(each, row)


def feature(value: bytes, dialect: Dialect | None, expected: dict[str, Any]) -> None:
    found = parse_feature(value)
    assert found.dialect is dialect
    assert {name: getattr(found, name) for name in expected} == expected


def start(value: bytes, dialect: Dialect | None, expected: dict[str, Any]) -> None:
    found = parse_session_start(value)
    assert found.local is not None
    assert {"local": found.local.isoformat(), "tz": found.tz_min, "dst": found.dst_min} == expected


def control(value: bytes, dialect: Dialect | None, expected: dict[str, Any]) -> None:
    found = parse_control(value, dialect)
    said = {"opcode": found.opcode, "request": found.request, "response": found.response}
    if "session_id" in expected:
        said["session_id"] = found.operand[0]
    assert {name: said[name] for name in expected} == expected


CHECKS = {"2aa7": measurement, "2aa8": feature, "2aaa": start, "2aac": control}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["id"]))
def test_rows(row: dict[str, Any]) -> None:
    if row["kind"].startswith("e2e-crc"):
        dialect = Dialect.PROFILE if row["kind"].endswith("sig") else Dialect.MEDTRONIC
        data, crc = bytes.fromhex(row["data_hex"]), bytes.fromhex(row["crc_le_hex"])
        assert dialect.crc(data) == crc
        assert dialect.checked(data + crc) == data
        assert dialect_of(data + crc) is dialect
        return
    uuid, _, flavour = row["kind"].partition("-")
    CHECKS[uuid](bytes.fromhex(row["value_hex"]), DIALECTS[flavour], row["expect"])


def test_each_dialect_refuses_the_other() -> None:
    assert not Dialect.PROFILE.fits(b"123456789" + Dialect.MEDTRONIC.crc(b"123456789"))
    assert not Dialect.MEDTRONIC.fits(b"123456789" + Dialect.PROFILE.crc(b"123456789"))
    with pytest.raises(Malformed):
        Dialect.PROFILE.checked(b"")
