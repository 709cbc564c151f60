"""How much goes into one request, learnt from how long the site takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bridge.contracts import Document

LARGEST, SMALLEST = 1000, 20
LARGEST_BODY = 900_000
"""Bytes; proxies in front of a site often stop at a megabyte."""
_SLOW_S, _QUICK_S = 5.0, 1.0


@dataclass
class Pace:
    """Documents a request. Halves after a slow answer, grows after a quick full one, up to 1000."""

    size: int
    ceiling: int = LARGEST

    def took(self, seconds: float, count: int) -> None:
        """A request of `count` documents was answered after that long."""
        if seconds > _SLOW_S:
            self.size = min(self.size, max(min(self.size, SMALLEST), count // 2))
        elif seconds < _QUICK_S and count >= self.size:
            self.size = min(self.ceiling, self.size * 2)

    def too_large(self, count: int) -> None:
        """`count` documents were more than a request may hold; never try as many again."""
        self.ceiling = max(1, min(self.ceiling, count // 2))
        self.size = min(self.size, self.ceiling)


def chunks(documents: Sequence[Document], size: int) -> Iterator[Sequence[Document]]:
    """In order, at most `size` documents and 900 kB together; a document alone may be larger."""
    chunk: list[Document] = []
    length = 0
    for document in documents:
        more = len(document.encoded) + 1
        if chunk and (len(chunk) >= size or length + more > LARGEST_BODY):
            yield chunk
            chunk, length = [], 0
        chunk.append(document)
        length += more
    if chunk:
        yield chunk


def array_of(documents: Iterable[Document]) -> bytes:
    """The JSON array as sent."""
    return b"[" + b",".join(document.encoded for document in documents) + b"]"
