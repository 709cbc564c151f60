"""One visit to a pump: what is asked, in which order, and what of it came back whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.contracts.setup import Clock, Progress, silent
from bridge.errors import Malformed
from bridge.readers.medtronic_600 import history_plan
from bridge.readers.medtronic_600.comd import MODEL_STRING, Comd, Said
from bridge.readers.medtronic_600.crypto import mac_of
from bridge.readers.medtronic_600.glance import Glance, glance, rtc_of
from bridge.readers.medtronic_600.history import read_payload
from bridge.readers.medtronic_600.history_plan import Span
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.readers.medtronic_600.ngp import Joined
from bridge.readers.medtronic_600.radio import CHANNELS
from bridge.readers.medtronic_600.recall import KINDS, Recall
from bridge.readers.medtronic_600.session import Session
from bridge.readers.medtronic_600.talk import Talk

PATTERNS = range(1, 9)
_AGAIN = timedelta(hours=2)
_AGAIN_LOW_BATTERY = timedelta(hours=1)
_SETTINGS_AGAIN = timedelta(hours=6)
_SETTINGS_RETRY = timedelta(hours=1)
_UNSEEN = timedelta(minutes=15)
_GAP_S = 330
_MODEL_AT = 0x0E
_SIZE = slice(7, 11)
"""Where a page tells its uncompressed size."""
_NAMES = {"02": "pump history", "03": "sensor history"}
_TABLES = (
    (Comd.READ_CARB_RATIOS, Comd.CARB_RATIOS),
    (Comd.READ_SENSITIVITIES, Comd.SENSITIVITIES),
    (Comd.READ_TARGETS, Comd.TARGETS),
    (Comd.READ_BASIC_PARAMETERS, Comd.BASIC_PARAMETERS),
)


@dataclass(slots=True)
class Findings:
    """What a visit brought, complete answers and pages only; it grows while the visit goes on."""

    meter: MeterInfo | None = None
    pump: str | None = None
    joined: Joined | None = None
    told_at: datetime | None = None
    """Our clock at the moment of the pump's time answer."""
    now_rtc: int = 0
    seen: Glance | None = None
    answers: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)
    read: dict[str, Span] = field(default_factory=dict)
    """Stretches of history that were read to their end in this visit."""

    def keep(self, said: Said, suffix: str = "") -> None:
        """Note an answer."""
        self.answers[f"{said.command:04x}{suffix}"] = said.payload.hex()


@dataclass(frozen=True, slots=True)
class Visit:
    """What is done with one pump. `bound` says whether it is one of ours, by a serial."""

    session: Session
    clock: Clock
    findings: Findings
    bound: Callable[[MeterInfo, str], bool]
    recall: Callable[[str], Recall]
    history_days: int
    near_slot: Callable[[str], bool] = lambda _: False
    progress: Progress = silent

    async def pay(self) -> None:
        """Go through all of it; a failure leaves `findings` and the recall with what was whole before."""
        found = self.findings
        meter = found.meter = await self.session.identify_meter()
        pump = await self.session.identify_pump(meter)
        if not self.bound(meter, pump):
            return
        found.pump, recall = pump, self.recall(pump)
        only_last = recall.channel is not None and self.near_slot(pump)
        found.joined = await self.session.join(_channels(recall.channel, only_last=only_last))
        recall.channel = found.joined.channel
        if self.session.talk is not None:
            await self._ask(self.session.talk, pump, recall)

    async def _ask(self, talk: Talk, pump: str, recall: Recall) -> None:
        try:
            now, seen = await self._ask_now(talk)
            before, recall.glance = recall.glance, seen
            unseen_for, recall.seen_at = _since(now, recall.seen_at), now
            for kind, span in self._stretches(now, recall, before, unseen_for):
                await self._read_history(talk, recall, kind, span)
            if _settings_due(now, recall, before, seen):
                # A pump that does not answer one of these is not to lose every visit by it.
                recall.settings_at = now - _SETTINGS_AGAIN + _SETTINGS_RETRY
                await self._ask_settings(talk, pump, recall)
                recall.settings_at = now
        finally:
            if talk.never is not None:
                recall.never.append(talk.never)

    async def _ask_now(self, talk: Talk) -> tuple[datetime, Glance]:
        found = self.findings
        told = await talk.ask(Comd.READ_TIME, b"", Comd.TIME)
        now = found.told_at = self.clock.now()
        found.now_rtc = rtc_of(told.payload)
        found.keep(told)
        status = await talk.ask(Comd.READ_PUMP_STATUS, b"", Comd.PUMP_STATUS)
        seen = found.seen = glance(status.payload)
        found.keep(status)
        return now, seen

    async def _ask_settings(self, talk: Talk, pump: str, recall: Recall) -> None:
        found = self.findings
        if not recall.model:
            model = await talk.ask(Comd.READ_STRING, MODEL_STRING, Comd.STRING)
            recall.model = _text(model.payload)
            found.keep(model)
        for question, parameters, answer, suffix in _questions(pump):
            if question not in recall.never:
                said = await talk.ask(question, parameters, answer, _begins(parameters if suffix else b""))
                found.keep(said, suffix)

    def _stretches(
        self, now: datetime, recall: Recall, before: Glance | None, unseen_for: timedelta | None
    ) -> Iterator[tuple[str, Span]]:
        """At most one stretch of each history: what is new when there may be something new, else a hole."""
        seen, now_rtc = recall.glance, self.findings.now_rtc
        if seen is None:
            return
        _note_news(now, recall, before, unseen_for)
        since = _since(now, recall.history_at)
        if seen.late(now_rtc) or (seen.low_battery and since is not None and since < _AGAIN_LOW_BATTERY):
            return
        for kind in KINDS:
            covered = recall.covered[kind] = history_plan.settled(recall.covered.get(kind, ()), now_rtc)
            plan = history_plan.newest if kind in recall.owed or not covered else history_plan.hole
            span = plan(covered, now_rtc, self.history_days)
            if span is not None:
                yield kind, span

    async def _read_history(self, talk: Talk, recall: Recall, kind: str, span: Span) -> None:
        pages = self.findings.history.setdefault(kind, [])
        done = 0

        def take(page: bytes, announced: int) -> None:
            nonlocal done
            pages.append(page.hex())
            done = min(announced, done + int.from_bytes(page[_SIZE], "big"))
            self.progress(_NAMES[kind], done, announced)

        await talk.history(int(kind, 16), *span, take)
        recall.history_at = self.findings.told_at
        if _damaged(pages) and recall.once_more(kind):
            return
        recall.read(kind, span)
        self.findings.read[kind] = span
        if span[1] == self.findings.now_rtc:
            recall.newest_at = self.findings.told_at
            recall.owed.discard(kind)


def _damaged(pages: Iterable[str]) -> bool:
    """Whether a page fails its checks: then its stretch counts as not read."""
    try:
        for page in pages:
            read_payload(bytes.fromhex(page))
    except Malformed:
        return True
    return False


def _note_news(now: datetime, recall: Recall, before: Glance | None, unseen_for: timedelta | None) -> None:
    """Which histories may have something new; that stays owed until they are read."""
    seen, since = recall.glance, _since(now, recall.newest_at)
    if seen is None or since is None or since >= _AGAIN or unseen_for is None or unseen_for > _UNSEEN:
        recall.owed.update(KINDS)
        return
    if before is None or seen.changed_from(before):
        recall.owed.add("02")
    if _gap(before, seen):
        recall.owed.add("03")


def _channels(last: int | None, *, only_last: bool) -> tuple[int, ...]:
    """The channel that was good last time goes first."""
    if last is None:
        return CHANNELS
    return (last,) if only_last else (last, *(channel for channel in CHANNELS if channel != last))


def _since(now: datetime, then: datetime | None) -> timedelta | None:
    return now - then if then is not None else None


def _settings_due(now: datetime, recall: Recall, before: Glance | None, seen: Glance) -> bool:
    since = _since(now, recall.settings_at)
    return since is None or since >= _SETTINGS_AGAIN or (before is not None and before.pattern != seen.pattern)


def _questions(pump: str) -> Iterator[tuple[Comd, bytes, Comd, str]]:
    """Command, parameters, answer, and what is added to the answer's name."""
    yield Comd.READ_CHARACTERISTICS, b"\x02" + mac_of(pump).to_bytes(8, "big"), Comd.CHARACTERISTICS, ""
    for number in PATTERNS:
        yield Comd.READ_BASAL_PATTERN, bytes((number,)), Comd.BASAL_PATTERN, f":{number}"
    for question, answer in _TABLES:
        yield question, b"", answer, ""


def _begins(start: bytes) -> Callable[[Said], bool]:
    return lambda said: said.parameters.startswith(start)


def _gap(before: Glance | None, seen: Glance) -> bool:
    """Whether the sensor sent something between two visits that the status does not show."""
    if before is None or not seen.sensor_rtc:
        return before is None
    return seen.sensor_rtc - before.sensor_rtc > _GAP_S


def _text(payload: bytes) -> str:
    return payload[_MODEL_AT:].decode("utf-16-be", "replace").replace("\0", "").strip()
