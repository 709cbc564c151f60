"""Whether a device in sight is this person's: by its address, or by a serial that is known once it was asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
"""Also the form that macOS gives, an identifier of that machine."""


class Whose:
    """`devices`: serials and addresses of this person's; `elsewhere`: those of other people here.

    Strangers are remembered, so that each is asked for its serial once.
    """

    def __init__(self, devices: Iterable[str], elsewhere: Collection[str]) -> None:
        self._bound = frozenset(_spelt(each) for each in devices)
        self._elsewhere = elsewhere
        self._strangers: dict[str, str | None] = {}

    def may_be_ours(self, address: str, known: Mapping[str, str]) -> bool:
        """Whether it is bound, or may be by a serial that is not known yet. `known`: serials by address."""
        if address in self._bound:
            return True
        if address in known:
            return known[address] in self._bound
        unmet = {each for each in self._bound if not _ADDRESS.fullmatch(each)} - set(known.values())
        return address not in self._strangers and bool(unmet)

    def is_ours(self, address: str, serial: str | None) -> bool:
        """Whether it is bound, now that it was asked. One that is not is remembered as a stranger."""
        if {serial or address, address} & self._bound:
            return True
        self._strangers[address] = serial
        return False

    def is_nobodys(self, address: str) -> bool:
        """Whether it can be said that nobody here has it; without its serial only where nobody else has any."""
        if address in self._elsewhere:
            return False
        if address in self._strangers:
            return self._strangers[address] not in self._elsewhere
        return not self._elsewhere


def _spelt(device: str) -> str:
    """A serial as it is, an address in upper case."""
    upper = device.strip().upper()
    return upper if _ADDRESS.fullmatch(upper) else device.strip()
