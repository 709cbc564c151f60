"""Fields of a value, taken one after the other. Little-endian; Malformed is all that this raises."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from bridge.errors import Malformed
from bridge.wire.date_time import DATE_TIME_BYTES, date_time
from bridge.wire.sfloat import FLOAT_BYTES, SFLOAT_BYTES, finite, float32, sfloat


class Fields:
    """Reads on from where it stands."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """So many bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise Malformed("A value from the pump is cut short.")
        self._at += size
        return taken

    def unsigned(self, size: int) -> int:
        """A whole number."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """A whole number with its sign."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def short_number(self) -> Decimal | None:
        """A decimal float of 16 bits; None for what is no number."""
        return finite(sfloat(self.take(SFLOAT_BYTES)))

    def number(self) -> Decimal | None:
        """A decimal float of 32 bits; None for what is no number."""
        return finite(float32(self.take(FLOAT_BYTES)))

    def wall(self) -> datetime | None:
        """A wall clock; None when it is not set."""
        return date_time(self.take(DATE_TIME_BYTES))
