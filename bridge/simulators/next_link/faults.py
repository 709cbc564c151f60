"""What can go wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """Set any of these at any time; all are off at first. Segment numbers count from 0 within one transfer."""

    lost_segments: set[int] = field(default_factory=set)
    """Segments that get lost once per transfer; `lost_times` says how often they get lost when asked again."""
    lost_times: int = 1
    duplicate_segments: set[int] = field(default_factory=set)
    swapped_segments: set[int] = field(default_factory=set)
    """Each of these changes places with the next one."""
    silent_after_segment: int | None = None
    """The pump falls silent for good after this segment of a transfer."""
    nak: int | None = None
    """The pump refuses with this code: all questions, or the one of `nak_command`."""
    nak_command: int | None = None
    busy_radio: int = 0
    """So many packets leave through a noisy radio, and the pump's answer to them is lost."""
    no_answers: int = 0
    """So many questions get "no answer from the pump"."""
    e86: bool = False
    """The meter answers nothing at all until it is plugged in again."""
    e86_after_messages: int | None = None
    """The meter fails after so many whole messages from the host."""
    out_of_range: bool = False
    wrong_channel: bool = False
    """The network's description names another channel than the one asked for."""
    connection_lost_at: int | None = None
    """The pump is gone when this command comes."""
    strays: int = 0
    """So many messages that belong to nothing come before each answer of the pump."""
    damaged_words: set[int] = field(default_factory=set)
    """Words of the pump (1 is the first since the meter got power) that arrive with a bit flipped."""
    gone_after_words: int | None = None
    """The pump is gone after so many of its words."""
    unlinked: bool = False
    keyless: bool = False
    wrong_key: bool = False
    """The pump holds another key than the meter."""
    enq_first: bool = False
    """The meter says that it is ready before it says who it is."""
    unplug_after: int | None = None
    """The plug comes out after so many transfers."""
    clock_not_set: bool = False
    empty_history: bool = False
