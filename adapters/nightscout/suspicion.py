"""Which documents were in requests that failed, and what that allows: smaller requests, and in the end none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.contracts import Document

_TWICE = 2


@dataclass
class _Suspect:
    failures: int
    alone: int
    limit: int
    successes: int
    """Requests that had succeeded when it first failed."""


class Suspicion:
    """Of one collection. A reset or time-out says nothing about which document was at fault, or whether one was:
    the same request goes out twice, then halves of it. One that fails alone while others succeed is at fault.
    """

    def __init__(self) -> None:
        self._suspects: dict[str, _Suspect] = {}
        self.successes = 0

    def cleared(self, chunk: Iterable[Document]) -> None:
        """That request succeeded."""
        self.successes += 1
        for document in chunk:
            self._suspects.pop(document.key, None)

    def failed(self, chunk: Sequence[Document]) -> None:
        """That request failed."""
        for document in chunk:
            suspect = self._suspects.setdefault(document.key, _Suspect(0, 0, len(chunk), self.successes))
            suspect.failures += 1
            suspect.alone += len(chunk) == 1
            if suspect.failures >= _TWICE:
                suspect.limit = max(1, len(chunk) // 2)

    def convicted(self, document: Document) -> bool:
        """It failed alone, at least twice in all, and others have succeeded since it first did."""
        suspect = self._suspects.get(document.key)
        if suspect is None or not suspect.alone or suspect.failures < _TWICE:
            return False
        return self.successes > suspect.successes

    def forget(self, document: Document) -> None:
        """It is dealt with."""
        self._suspects.pop(document.key, None)

    def __contains__(self, document: Document) -> bool:
        return document.key in self._suspects

    def groups(self, documents: Iterable[Document]) -> list[tuple[int | None, list[Document]]]:
        """(largest request, documents): those above suspicion first, then by how large a request they may be in."""
        found: dict[int | None, list[Document]] = {}
        for document in documents:
            suspect = self._suspects.get(document.key)
            found.setdefault(suspect.limit if suspect else None, []).append(document)
        return sorted(found.items(), key=lambda group: -group[0] if group[0] is not None else float("-inf"))
