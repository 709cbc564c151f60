"""What is remembered of a meter: with which correction each of its results was first read, and which are twins.

In the reader's state, by serial: `clocks` are corrections, `rows` for each of them the results read under it, as
short digests of their source keys end to end, `twins` the contents of results that want one key, in their order.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from bridge.contracts import Sighting
from bridge.readers.contour_usb.clock import Correction

_DIGEST_BYTES, _DIGEST_LETTERS = 6, 8


@dataclass(slots=True)
class Recall:
    """One meter's memory."""

    corrections: list[Correction] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Which of the corrections, by digest."""
    twins: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def restored(cls, state: object) -> Recall:
        """From the state; what cannot be read is as if it had never been."""
        found = cls()
        if not isinstance(state, Mapping):
            return found
        for value, digests in zip(_listed(state.get("clocks")), _listed(state.get("rows")), strict=False):
            correction = Correction.restored(value)
            if correction is not None and isinstance(digests, str):
                found.rows |= dict.fromkeys(_cut(digests), len(found.corrections))
                found.corrections.append(correction)
        twins = state.get("twins")
        if isinstance(twins, Mapping):
            found.twins = {str(key): [str(each) for each in _listed(value)] for key, value in twins.items()}
        return found

    def correction_of(self, source_key: str) -> Correction | None:
        """The one that a result was first read with."""
        index = self.rows.get(digest(source_key))
        return None if index is None else self.corrections[index]

    def alike(self, measured: Correction) -> Correction:
        """The nearest known correction that this measurement repeats, else the measurement itself."""
        known = [each for each in self.corrections if each.resembles(measured)]
        return min(known, key=lambda each: (abs(each.seconds - measured.seconds), each.seconds), default=measured)


def remembered(used: Mapping[str, Correction], twins: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The state that says with which correction each source key was read."""
    groups: dict[Correction, list[str]] = defaultdict(list)
    for source_key, correction in used.items():
        groups[correction].append(digest(source_key))
    order = sorted(groups, key=lambda each: (each.way, each.seconds))
    state: dict[str, Any] = {
        "clocks": [[each.way, each.seconds] for each in order],
        "rows": ["".join(sorted(groups[each])) for each in order],
    }
    return state | ({"twins": {key: list(value) for key, value in sorted(twins.items())}} if twins else {})


def digest(source_key: str) -> str:
    """Eight letters for a source key."""
    return b64encode(blake2b(source_key.encode(), digest_size=_DIGEST_BYTES).digest()).decode()


def named(wanted: str, contents: Sequence[str], known: Sequence[str]) -> tuple[list[str], list[str]]:
    """Source keys for results that all want one, in the order given, and the contents by number.

    `known` are the contents that held number 1, 2... before: they keep theirs. A result changed since takes the
    number that nobody claims; the rest are numbered on in the order of their contents.
    """
    numbers: dict[int, int] = {}
    free = dict(enumerate(known))
    order = sorted(range(len(contents)), key=lambda place: contents[place])
    for place in order:
        number = next((number for number, content in free.items() if content == contents[place]), None)
        if number is not None:
            numbers[place] = number
            del free[number]
    unclaimed = [*free, *range(len(known), len(known) + len(contents))]
    rest = [place for place in order if place not in numbers]
    numbers |= dict(zip(rest, unclaimed, strict=False))
    held = dict(enumerate(known)) | {number: contents[place] for place, number in numbers.items()}
    keys = [wanted if numbers[place] == 0 else f"{wanted}#{numbers[place] + 1}" for place in range(len(contents))]
    return keys, [held[number] for number in sorted(held)]


def sighting_key(serial: str, source_key: str, content: str) -> str:
    """The reader's own key of a row."""
    return f"{serial}|{source_key}|{content}"


def first_contents(serial: str, sightings: Mapping[str, Sighting]) -> dict[str, list[str]]:
    """Contents by source key of the rows of this meter that were seen lately."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, sighting in sightings.items():
        whose, _, rest = key.partition("|")
        name, bar, content = rest.partition("|")
        if whose == serial and bar and name == sighting.source_key:
            found[name].append(content)
    return found


def _cut(digests: str) -> Iterable[str]:
    return (digests[start : start + _DIGEST_LETTERS] for start in range(0, len(digests), _DIGEST_LETTERS))


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
