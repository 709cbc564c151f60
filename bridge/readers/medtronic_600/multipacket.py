"""Puts a long answer together from numbered segments: gaps, repeats, any order. No I/O."""

from __future__ import annotations

from bridge.errors import Malformed

MIN_FILLED = 0.2
"""With less than this there when the segments stop, a transfer is given up."""
_LARGEST = 1 << 20


class Transfer:
    """One transfer as its first message announces it; `awaited` segments should still come unasked."""

    def __init__(self, parameters: bytes) -> None:
        """`parameters` of TRANSFER_BEGINS. Raises Malformed for sizes that do not fit each other."""
        if len(parameters) < 10:
            raise Malformed("The pump announced a transfer without its sizes.")
        self.total = int.from_bytes(parameters[:4], "big")
        self._size, self._last, self.count = (int.from_bytes(parameters[at : at + 2], "big") for at in (4, 6, 8))
        if not self.count or self._expected_total() != self.total or self.total > _LARGEST:
            raise Malformed("The pump announced a transfer whose sizes contradict each other.")
        self._segments: dict[int, bytes] = {}
        self._awaited: set[int] = set(range(self.count))

    def _expected_total(self) -> int:
        return (self.count - 1) * self._size + self._last

    def add(self, parameters: bytes) -> bool:
        """Take a segment; False for one that was there already. Raises Malformed for a wrong number or size."""
        number = int.from_bytes(parameters[:2], "big")
        size = self._last if number == self.count - 1 else self._size
        if number >= self.count or len(parameters) != 2 + size:
            raise Malformed("The pump sent a segment that does not belong to its transfer.")
        self._awaited.discard(number)
        if number in self._segments:
            return False
        self._segments[number] = parameters[2:]
        return True

    @property
    def complete(self) -> bool:
        """Whether every segment is there."""
        return len(self._segments) == self.count

    @property
    def filled(self) -> float:
        """Part of the segments that is there, 0 to 1."""
        return len(self._segments) / self.count

    @property
    def awaited(self) -> int:
        """How many segments are still on their way as far as we know."""
        return len(self._awaited)

    def ask_again(self) -> tuple[int, int]:
        """First gap as (first missing, how many); they are awaited from now on. Only while incomplete."""
        first = next(number for number in range(self.count) if number not in self._segments)
        end = first
        while end < self.count and end not in self._segments:
            end += 1
        self._awaited = set(range(first, end))
        return first, end - first

    def payload(self) -> bytes:
        """The whole answer, beginning with its command. Only when complete."""
        return b"".join(self._segments[number] for number in range(self.count))
