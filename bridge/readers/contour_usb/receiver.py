"""The rule by which frames are taken: each number follows the last, a repeat is dropped, all else is refused."""

from __future__ import annotations

from enum import Enum

from bridge.errors import Malformed
from bridge.wire.astm import NUMBERS, Frame, parse


class Verdict(Enum):
    """What becomes of a frame. The first two are acknowledged."""

    TAKEN = "taken"
    REPEATED = "repeated"
    REFUSED = "refused"


class Receiver:
    """Takes the frames of one transfer. `frames` are those taken, `refused` counts the rest."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.refused = 0

    @property
    def complete(self) -> bool:
        """Whether the last frame is there."""
        return bool(self.frames) and self.frames[-1].last

    def take(self, data: bytes) -> Verdict:
        """Judge one frame's bytes."""
        try:
            frame = parse(data)
        except Malformed:
            return self._refuse()
        if self.frames and frame.number == self.frames[-1].number:
            return Verdict.REPEATED
        if self.complete or frame.number != (len(self.frames) + 1) % NUMBERS:
            return self._refuse()
        self.frames.append(frame)
        return Verdict.TAKEN

    def _refuse(self) -> Verdict:
        self.refused += 1
        return Verdict.REFUSED


def lines(frames: list[Frame]) -> list[str]:
    """The record lines; a record that goes on in the next frame is one line."""
    found: list[str] = []
    goes_on = False
    for frame in frames:
        if goes_on:
            found[-1] += frame.text
        else:
            found.append(frame.text)
        goes_on = not frame.whole
    return found
