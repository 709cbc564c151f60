"""Made-up serials for what is passed on: the same for the same, and of the same shape."""

from __future__ import annotations

_DIGITS = "0123456789"


class Pseudonyms:
    """Gives each serial another one of equal length and kinds of characters, in the order they are met."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, serial: str) -> str:
        """The made-up serial; the letters and marks stay, the digits count up from 1."""
        if serial not in self._given:
            self._given[serial] = _shaped(serial, len(self._given) + 1)
        return self._given[serial]

    def replaced(self, text: bytes) -> bytes:
        """The text with every serial given so far replaced; longer ones first, so that none is cut by a shorter."""
        for real, made_up in sorted(self._given.items(), key=lambda pair: -len(pair[0])):
            text = text.replace(real.encode(), made_up.encode())
        return text


def _shaped(serial: str, number: int) -> str:
    count = sum(character in _DIGITS for character in serial)
    turn = iter(str(number).zfill(count)[-count:])
    return "".join(next(turn) if character in _DIGITS else character for character in serial)
