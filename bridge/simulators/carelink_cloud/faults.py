"""What the cloud can be made to do wrong, per kind of call, in a script or for a while."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bridge.simulators.carelink_cloud.people import Span


class Call(StrEnum):
    """The kinds of calls that faults are told apart by."""

    DISCOVERY = "discovery"
    SIGN_IN = "sign_in"
    TOKEN = "token"
    ACCOUNT = "account"
    DATA = "data"


class FaultKind(StrEnum):
    """How an answer goes wrong."""

    STATUS = "status"
    """`status` with an empty body, and `retry_after` when given."""
    HTML = "html"
    """A web page (with `status`) where JSON was expected."""
    EMPTY = "empty"
    """200 and nothing."""
    ARRAY = "array"
    """200, well-formed, `patientData` an empty list."""
    ERROR_JSON = "error_json"
    """200 with `{"error": {"type": "NoPermission", "group": "AUTH"}}`."""
    TRUNCATED = "truncated"
    """The first half of the real answer."""
    GARBLED = "garbled"
    """The real answer with a stretch overwritten."""
    SLOW = "slow"
    """The real answer after `seconds` of real time."""
    LOST = "lost"
    """The call is carried out, then the connection breaks without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong answer."""

    kind: FaultKind
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.0


class Faults:
    """The plan. A scripted fault is used once, in order, before what stands; outages hit every call."""

    def __init__(self) -> None:
        self.outages: list[Span] = []
        self.counts: Counter[str] = Counter()
        """Faults played, by `call/kind`."""
        self._script: defaultdict[Call, deque[Fault | None]] = defaultdict(deque)
        self._standing: dict[Call, tuple[Fault, datetime | None]] = {}

    def script(self, call: Call, *faults: Fault | None) -> None:
        """The next answers of a call; None lets one pass."""
        self._script[call].extend(faults)

    def stand(self, call: Call, fault: Fault, until: datetime | None = None) -> None:
        """A fault for every answer of a call, until that instant or until `clear`."""
        self._standing[call] = (fault, until)

    def clear(self) -> None:
        """Everything is well again."""
        self._script.clear()
        self._standing.clear()
        self.outages.clear()

    def take(self, call: Call, now: datetime) -> Fault | None:
        """The fault of an answer at `now`."""
        fault = self._pick(call, now)
        if fault is not None:
            self.counts[f"{call}/{fault.kind}"] += 1
        return fault

    def _pick(self, call: Call, now: datetime) -> Fault | None:
        if any(start <= now < end for start, end in self.outages):
            return Fault(FaultKind.STATUS, 503)
        if self._script[call]:
            return self._script[call].popleft()
        fault, until = self._standing.get(call, (None, None))
        return fault if until is None or now < until else None
