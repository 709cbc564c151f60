"""How a person is asked while a device is paired: a terminal, a page, a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for the six digits that the device or its label shows; where `shown` is set, whether it shows these."""

    address: str
    shown: int | None = None


class AskPasskey(Protocol):
    """Asks a person."""

    async def __call__(self, question: Question) -> int | None:
        """The six digits as a number (0..999999); to a shown number that number for yes. None: no."""
        ...
