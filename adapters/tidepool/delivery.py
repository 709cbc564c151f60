"""One delivery: posts in batches, oldest first, then deletes; a bad datum harms only itself.

A batch is stored whole or not at all. A refusal that points at datums costs those datums; one that does
not is searched by halves. Server errors are searched too, but only quarantine a datum when the server took
something else after it failed and fails on it once more: an outage, begun or ended midway, is nobody's fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from adapters.tidepool.client import TidepoolClient, code_of, errors_of
from adapters.tidepool.data_set import DataSets
from adapters.tidepool.validation import problems
from bridge.contracts import Answer, Clock, Document, LedgerDocument, Outcome, Verdict
from bridge.errors import BridgeError, Forbidden, Incompatible, Throttled, Transient, Unauthorised

MOST = 1000
"""Datums in one request."""
_WEIGHTS = {"dosingDecision": 20.0, "pumpSettings": 2.5, "cgmSettings": 2.5, "controllerSettings": 2.5}
"""How much of a request a datum takes: 50 decisions or 400 settings fill it."""
_TRIES = 3
_STUBBORN = 3
"""Single datums that a server may fail on in a row before it counts as an outage."""
_PLACE = "{dataSet}"
_INTERRUPTIONS = (Transient, Unauthorised, Forbidden, Incompatible)


@dataclass(slots=True)
class Speed:
    """How many datums a request may carry: halved by time-outs and refusals of size, grown back by successes."""

    batch: int = MOST
    ceiling: int = MOST

    def too_large(self, size: int) -> None:
        """The service does not take that many at once, ever."""
        self.ceiling = max(1, size // 2)
        self.batch = min(self.batch, self.ceiling)

    def too_slow(self, size: int) -> None:
        """A request went wrong on the way: try half next time."""
        self.batch = max(1, min(self.batch, size) // 2)

    def good(self, size: int) -> None:
        """A request went through."""
        if size >= self.batch:
            self.batch = min(self.ceiling, 2 * self.batch)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Posts of one request, by index. `failures`: server errors so far; `searched`: part of a failed batch."""

    indexes: tuple[int, ...]
    failures: int = 0
    searched: bool = False

    def halves(self) -> tuple[_Chunk, _Chunk]:
        middle = (len(self.indexes) + 1) // 2
        left, right = self.indexes[:middle], self.indexes[middle:]
        return _Chunk(left, searched=self.searched), _Chunk(right, searched=self.searched)


@dataclass
class Delivery:
    """One call of `deliver`. `run` gives the outcomes, posts first."""

    client: TidepoolClient
    data_sets: DataSets
    clock: Clock
    speed: Speed
    posts: Sequence[Document]
    deletes: Sequence[LedgerDocument]
    interruption: BridgeError | None = None
    """What ended the call early, when something was confirmed before."""
    _posted: dict[int, Outcome] = field(default_factory=dict)
    _deleted: dict[int, Outcome] = field(default_factory=dict)
    _todo: deque[_Chunk] = field(default_factory=deque)
    _stubborn: dict[int, str] = field(default_factory=dict)
    _outlived: set[int] = field(default_factory=set)
    _judged: bool = False
    _accepted: bool = False
    _confirmed: bool = False
    _moved: int = 0

    async def run(self) -> list[Outcome]:
        """Outcomes of posts and deletes. Raises what interrupted it when nothing was confirmed before."""
        try:
            await self._post_all()
            await self._delete_all()
        except _INTERRUPTIONS as error:
            if not self._confirmed:
                raise
            self.interruption = error
        reason = "not confirmed" if self.interruption is None else self.interruption.message
        again = Outcome(Verdict.RETRY, reason)
        posted = [self._posted.get(index, again) for index in range(len(self.posts))]
        return [*posted, *(self._deleted.get(index, again) for index in range(len(self.deletes)))]

    # --- posts ---

    async def _post_all(self) -> None:
        self._todo.extend(_Chunk(chunk) for chunk in self._batches(self._sound()))
        while self._todo:
            chunk = self._todo.popleft()
            if len(chunk.indexes) > self.speed.ceiling:
                self._split(chunk)
                continue
            await self._post(chunk)
        if self._stubborn and not self._accepted:
            raise Transient(f"Tidepool fails on what it is sent: {next(iter(self._stubborn.values()))}.")
        for index in sorted(self._outlived):
            await self._judge(index)

    async def _judge(self, index: int) -> None:
        """The server failed on this datum and took others since: tried a last time. What was not outlived is
        sent again another day."""
        self._judged = True
        await self._post(_Chunk((index,)))

    def _sound(self) -> Iterator[int]:
        """Posts that the platform will not refuse by its known rules, oldest first."""
        for index in sorted(range(len(self.posts)), key=lambda each: (self.posts[each].instant_ms, each)):
            found = problems(self.posts[index].body)
            if found:
                self._posted[index] = Outcome(Verdict.QUARANTINED, "; ".join(map(str, found[:5])))
            else:
                yield index

    def _batches(self, indexes: Iterable[int]) -> Iterator[tuple[int, ...]]:
        """Requests of unique keys: the service would keep both of two equal ones."""
        batch: list[int] = []
        keys: set[str] = set()
        weight = 0.0
        for index in indexes:
            document = self.posts[index]
            more = _WEIGHTS.get(document.body["type"], 1.0)
            new = {document.key, *document.books}
            if batch and (keys & new or weight + more > MOST or len(batch) >= self.speed.batch):
                yield tuple(batch)
                batch, keys, weight = [], set(), 0.0
            batch.append(index)
            keys |= new
            weight += more
        if batch:
            yield tuple(batch)

    async def _post(self, chunk: _Chunk) -> None:
        upload_id = await self.data_sets.ensure(self.posts)
        documents = [self.posts[index] for index in chunk.indexes]
        path = documents[0].path.replace(_PLACE, upload_id)
        batch = b"[" + b",".join(document.encoded for document in documents) + b"]"
        try:
            answer = await self.client.post(path, batch)
        except Transient as error:
            if not isinstance(error, Throttled):
                self.speed.too_slow(len(documents))
            raise
        if answer.status == 200:
            await self._taken(chunk, upload_id)
        elif answer.status in (404, 409):
            self._next_set(chunk, answer)
        elif answer.status == 413:
            self._too_large(chunk)
        elif answer.status >= 500:
            await self._failed(chunk, answer)
        else:
            self._refused(chunk, answer)

    async def _taken(self, chunk: _Chunk, upload_id: str) -> None:
        self.speed.good(len(chunk.indexes))
        self._accepted = True
        self._outlived |= self._stubborn.keys()
        documents = [self.posts[index] for index in chunk.indexes]
        keys = [key for document in documents for key in (document.key, *document.books)]
        for former in self.data_sets.former:
            await self._delete(documents[0].path, former, keys)
        self._confirmed = True
        for index in chunk.indexes:
            self._posted[index] = Outcome(Verdict.ACCEPTED, server_id=upload_id)

    def _next_set(self, chunk: _Chunk, answer: Answer) -> None:
        """The set is gone or closed: the rest goes to the next one, what was sent before is not sent again."""
        self._moved += 1
        if self._moved > _TRIES:
            raise Incompatible(f"Tidepool keeps refusing its own data sets ({code_of(answer)}).")
        self.data_sets.lost(closed=answer.status == 409)
        self._todo.appendleft(chunk)

    def _too_large(self, chunk: _Chunk) -> None:
        if len(chunk.indexes) == 1:
            self._quarantine(chunk.indexes[0], "the datum is larger than Tidepool takes (HTTP 413)")
            return
        self.speed.too_large(len(chunk.indexes))
        self._split(chunk)

    def _split(self, chunk: _Chunk) -> None:
        self._todo.extendleft(reversed(chunk.halves()))

    def _refused(self, chunk: _Chunk, answer: Answer) -> None:
        pointed = _pointed(answer, len(chunk.indexes))
        if pointed:
            for place, reason in pointed.items():
                self._quarantine(chunk.indexes[place], reason)
            rest = tuple(index for place, index in enumerate(chunk.indexes) if place not in pointed)
            if rest:
                self._todo.appendleft(replace(chunk, indexes=rest))
        elif len(chunk.indexes) > 1:
            self._split(chunk)
        elif code_of(answer) in ("unknown", "json-malformed"):
            self._stumble(chunk.indexes[0], f"HTTP {answer.status} without a reason")
        else:
            self._quarantine(chunk.indexes[0], _reason(errors_of(answer)))

    async def _failed(self, chunk: _Chunk, answer: Answer) -> None:
        """Three tries, then halves; a half is tried once, a single datum twice, and a last time by `_judge`."""
        failures = chunk.failures + 1
        tries = _TRIES if not chunk.searched else 1 if len(chunk.indexes) > 1 else _TRIES - 1
        if not self._judged and failures < tries:
            await self.clock.sleep(2.0 ** (failures - 1))
            self._todo.appendleft(replace(chunk, failures=failures))
        elif len(chunk.indexes) > 1:
            self._split(replace(chunk, searched=True))
        else:
            self._stumble(chunk.indexes[0], f"HTTP {answer.status}, {code_of(answer)}")

    def _stumble(self, index: int, reason: str) -> None:
        if self._judged:
            self._quarantine(index, reason)
            return
        self._stubborn[index] = reason
        if len(self._stubborn) >= _STUBBORN and not self._accepted:
            raise Transient(f"Tidepool fails on everything it is sent: {reason}.")

    def _quarantine(self, index: int, reason: str) -> None:
        self._confirmed = True
        self._posted[index] = Outcome(Verdict.QUARANTINED, reason)

    # --- deletes ---

    async def _delete_all(self) -> None:
        carriers = {
            key: index for index, document in enumerate(self.posts) for key in (document.key, *document.books)
        }  # fmt: skip
        by_set: dict[tuple[str, str], list[int]] = {}
        current = await self.data_sets.find() if self.deletes else None
        for index, document in enumerate(self.deletes):
            carrier = carriers.get(document.key)
            if carrier is not None:
                self._deleted[index] = self._kept(carrier)
                continue
            by_set.setdefault((document.path, document.server_id or current or ""), []).append(index)
        for (path, upload_id), indexes in by_set.items():
            for start in range(0, len(indexes), MOST):
                await self._delete_some(path, upload_id, indexes[start : start + MOST])

    def _kept(self, carrier: int) -> Outcome:
        """A key that a post carries is wanted there, alone or embedded: nothing is deleted."""
        stored = self._posted.get(carrier, Outcome(Verdict.RETRY)).verdict is Verdict.ACCEPTED
        why = "carried by another datum"
        return Outcome(Verdict.ACCEPTED if stored else Verdict.RETRY, why)

    async def _delete_some(self, path: str, upload_id: str, indexes: Sequence[int]) -> None:
        keys = [self.deletes[index].key for index in indexes]
        for data_set in dict.fromkeys(filter(None, (upload_id, *self.data_sets.former))):
            await self._delete(path, data_set, keys)
        self._confirmed = True
        for index in indexes:
            self._deleted[index] = Outcome(Verdict.ACCEPTED)

    async def _delete(self, path: str, upload_id: str, keys: Sequence[str]) -> None:
        """Delete in one set; what is gone with its set is gone."""
        answer = await self.client.delete(path.replace(_PLACE, upload_id), keys)
        if answer.status not in (200, 404):
            raise Transient(f"Tidepool did not delete (HTTP {answer.status}, {code_of(answer)}).")


def _pointed(answer: Answer, size: int) -> dict[int, str]:
    """Reason by place in the batch, for every error whose pointer names one."""
    by_place: dict[int, list[dict[str, object]]] = {}
    for error in errors_of(answer):
        source = error.get("source")
        pointer = str(source.get("pointer", "")) if isinstance(source, dict) else ""
        place = pointer.split("/")[1] if pointer.startswith("/") else ""
        if place.isdecimal() and int(place) < size:
            by_place.setdefault(int(place), []).append(error)
    return {place: _reason(errors) for place, errors in by_place.items()}


def _reason(errors: Sequence[dict[str, object]]) -> str:
    """The server's words: field, code and detail of each error."""
    return "; ".join(_one(error) for error in errors[:5])


def _one(error: dict[str, object]) -> str:
    source = error.get("source")
    pointer = str(source.get("pointer", "")) if isinstance(source, dict) else ""
    field_name = ".".join(pointer.split("/")[2:]) or "datum"
    return f"{field_name}: {error.get('detail') or error.get('title') or ''} ({error.get('code')})"
