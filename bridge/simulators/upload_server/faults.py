"""What the upload server can be made to do wrong, call by call."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The calls of the contract."""

    CAPABILITIES = "capabilities"
    CREATE = "create"
    PART = "part"
    STATE = "state"
    COMPLETE = "complete"
    ABORT = "abort"
    LIST = "list"
    COVERAGE = "coverage"


class FaultKind(StrEnum):
    """How a call goes wrong."""

    CUT_IN = "cut_in"
    """The connection breaks after `after_bytes` of the request's body; nothing is carried out."""
    LOST = "lost"
    """The call is carried out; the connection breaks without an answer."""
    CUT_OUT = "cut_out"
    """The call is carried out; the connection breaks after `after_bytes` of the answer's body."""
    STATUS = "status"
    """`status`, with `retry_after` and the error `code` where given; nothing is carried out."""
    PAGE = "page"
    """A web page with `status` in place of the answer."""
    GARBLED = "garbled"
    """One byte of the request's body has changed on the way."""
    EXPIRED = "expired"
    """The token that was sent is over from now on: 401."""
    FORGOTTEN = "forgotten"
    """The server has lost all uploads that are not complete, then carries the call out."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong answer."""

    kind: FaultKind
    status: int = 503
    retry_after: str | None = None
    code: str = "unavailable"
    after_bytes: int = 0


class Faults:
    """The plan: scripted faults are used once, in order, before what stands for every call of a step."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._script: defaultdict[Step, deque[Fault | None]] = defaultdict(deque)
        self._standing: dict[Step, Fault] = {}

    def script(self, step: Step, *faults: Fault | None) -> None:
        """The next calls of a step; None lets one pass."""
        self._script[step].extend(faults)

    def stand(self, fault: Fault, *steps: Step) -> None:
        """A fault for every call of these steps (of all when none is named) until `clear`."""
        self._standing.update(dict.fromkeys(steps or tuple(Step), fault))

    def clear(self) -> None:
        """Everything is well again."""
        self._script.clear()
        self._standing.clear()

    def take(self, step: Step) -> Fault | None:
        """The fault of a call."""
        fault = self._script[step].popleft() if self._script[step] else self._standing.get(step)
        if fault is not None:
            self.counts[f"{step}/{fault.kind}"] += 1
        return fault
