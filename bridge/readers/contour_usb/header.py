"""The header line: which meter, its limits, its clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.errors import Malformed
from bridge.model.units import MGDL_PER_MMOL
from bridge.wire.contour import sold_as

_STAMP = re.compile(r"20[0-9]{10}(?:[0-9]{2})?", re.ASCII)
_SERIAL = re.compile(r"[0-9]+[-A-Za-z](.+)", re.ASCII)
_LIMITS = re.compile(r"([0-9]{2})([0-9]{3})", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_MOST_MMOL_TENTHS = 350


@dataclass(frozen=True, slots=True)
class Header:
    """`clock` is what the meter's clock shows, naive; `clock_to_s` how finely (60 for 12 digits). Limits in mg/dL.

    The session's challenge (field 3) is not kept.
    """

    product: str
    versions: tuple[str, ...]
    serial_raw: str
    settings: Mapping[str, str]
    count: int | None
    clock: datetime | None
    clock_to_s: int

    @property
    def name(self) -> str:
        """The name it is sold under; of an unknown product its code."""
        return sold_as(self.product)

    @property
    def serial(self) -> str:
        """The serial as printed: what follows the first dash or letter."""
        found = _SERIAL.fullmatch(self.serial_raw)
        return found[1] if found else self.serial_raw

    @property
    def unit(self) -> str | None:
        """The unit setting as sent; only its own results say in which unit they are."""
        return self.settings.get("U")

    @property
    def limits_mgdl(self) -> tuple[int, int] | None:
        """Below and above these the meter shows LO and HI."""
        found = _LIMITS.fullmatch(self.settings.get("V", ""))
        if found is None:
            return None
        low, high = int(found[1]), int(found[2])
        if (self.unit or "").startswith("1") and high <= _MOST_MMOL_TENTHS:
            return round(low / 10 * MGDL_PER_MMOL), round(high / 10 * MGDL_PER_MMOL)
        return low, high


def parse_header(text: str) -> Header:
    """The header that a line is. Raises Malformed when it names no product and serial."""
    fields = text.split("|")
    product, versions, serial, *_ = (*field(fields, 4).split("^"), "", "")
    if not product.strip() or not serial.strip():
        raise Malformed("The meter's header names no product or no serial.")
    stamp, count = field(fields, 13), field(fields, 6)
    return Header(
        product.strip(),
        tuple(version for version in versions.split("\\") if version),
        serial.strip(),
        dict(_pair(part) for part in field(fields, 5).split("^") if "=" in part),
        int(count) if _COUNT.fullmatch(count) else None,
        parse_stamp(stamp),
        60 if len(stamp) == 12 else 1,
    )


def without_challenge(text: str) -> str:
    """A header line without what the meter challenges a host with."""
    fields = text.split("|")
    return "|".join("" if number == 3 else part for number, part in enumerate(fields)) if text[:1] == "H" else text


def parse_stamp(text: str) -> datetime | None:
    """The wall clock of 12 or 14 digits of this century, None for anything else."""
    if not _STAMP.fullmatch(text):
        return None
    try:
        return datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - a meter's clock has no zone
    except ValueError:
        return None


def field(fields: Sequence[str], index: int) -> str:
    """A field, empty where the line ends before it."""
    return fields[index] if index < len(fields) else ""


def _pair(part: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    return key, value
