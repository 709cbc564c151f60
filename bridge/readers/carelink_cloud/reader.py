"""The reader: one pass asks for the last 24 hours and decodes the answer; outages end as a named state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel

from bridge.contracts import Answer, Batch, Decoded, Diagnostic, Linking, Memory, Setup
from bridge.errors import (
    BridgeError,
    ContractViolation,
    Forbidden,
    Incompatible,
    Malformed,
    Moved,
    Refused,
    Throttled,
    Transient,
    Unauthorised,
)
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.readers.carelink_cloud.client import health_of
from bridge.readers.carelink_cloud.linking import CareLinkLinking
from bridge.readers.carelink_cloud.phase import FLOOR_S, Phase
from bridge.readers.carelink_cloud.settings import CareLinkSettings
from bridge.readers.carelink_cloud.source import DataSource, Kept

NAME = "carelink-cloud"
_PERSON_MIN = 15.0
_PERMISSION_MIN = 10.0
_SHARED = "Another app seems to use this CareLink account and ends our sign-in."
_OWN_ACCOUNT = "Give the bridge a CarePartner account of its own."
_EXPECTED = (Transient, Unauthorised, Forbidden, Refused, Incompatible, Moved)


class CareLinkCloudReader:
    """Reads one person's pump and sensor data from the CareLink cloud, in step with the phone's uploads."""

    name = NAME
    file_feed = "carelink"
    Settings: ClassVar[type[BaseModel]] = CareLinkSettings
    linking: ClassVar[Linking] = CareLinkLinking()

    def __init__(self, setup: Setup) -> None:
        self._setup, self._clock = setup, setup.clock
        self._phase = Phase(setup.random)
        self._source: DataSource | None = None
        self._feed = self.file_feed
        self._asked_at: float | None = None
        if setup.session is not None:
            settings = CareLinkSettings.model_validate(setup.settings)
            self._source, self._feed = DataSource(setup.session, settings, setup.clock), settings.feed

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of a kept answer. Pure. Raises Malformed for what is not an answer of CareLink."""
        from bridge.readers.carelink_cloud.decode import decode

        decoded = decode(capture, memory)
        kept = memory.state.get("io")
        return decoded if kept is None else replace(decoded, state={**decoded.state, "io": kept})

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One pass: exactly one batch. The answer is always the last 24 hours, so `since` changes nothing."""
        if self._source is None:
            raise ContractViolation("The CareLink cloud reader was asked to read without a session.")
        if self._asked_at is None:
            self._recall(self._source, memory)
        yield await self._pass(self._source, memory)

    async def _pass(self, source: DataSource, memory: Memory) -> Batch:
        await self._keep_distance()
        try:
            answer = await source.fetch()
        except _EXPECTED as error:
            return self._failed(source, error)
        finally:
            self._asked_at = self._clock.monotonic()
        if answer is None:
            return self._batch(_nothing(source.no_device), self._phase.nothing(self._clock.now()))
        return self._read(source, answer, memory)

    def _read(self, source: DataSource, answer: Answer, memory: Memory) -> Batch:
        from bridge.readers.carelink_cloud.decode import read_answer
        from bridge.readers.carelink_cloud.privacy import redact

        now = self._clock.now()
        context = {"timezone": self._setup.timezone} if self._setup.timezone else {}
        capture = Capture(self._setup.profile, NAME, self._feed, now, redact(answer.body), context)
        try:
            said = read_answer(capture, memory)
        except Malformed as error:
            source.noted(None)
            return replace(
                self._batch(Health(State.MALFORMED, str(error)), self._phase.nothing(now)), capture=capture
            )
        source.noted(said.updated_at)
        decoded = self._completed(source, said.decoded)
        due = self._phase.answered(now, said.server_now, said.updated_at)
        batch = self._batch(decoded.health, due)
        if foreign := self._setup.bound_elsewhere & {record.device.serial for record in decoded.records}:
            return replace(self._batch(_another(min(foreign)), due), capture=capture)
        return replace(batch, decoded=decoded, capture=capture, covered=said.covered)

    def _completed(self, source: DataSource, decoded: Decoded) -> Decoded:
        """The decoder's word with what the asking learnt: state to keep, diagnostics, a shared account."""
        health = decoded.health
        if source.shared and health.state is State.OK:
            health = Health(State.ACCOUNT_SHARED, f"{_SHARED} {_OWN_ACCOUNT}")
        io = {**source.kept.dump(), "discovery": source.directory.dump()}
        diagnostics = (*decoded.diagnostics, *_version_note(source))
        return replace(decoded, health=health, state={**decoded.state, "io": io}, diagnostics=diagnostics)

    def _failed(self, source: DataSource, error: BridgeError) -> Batch:
        now = self._clock.now()
        if isinstance(error, Transient):
            wait_s = error.retry_after_s if isinstance(error, Throttled) else None
            return self._batch(health_of(error), self._phase.failed(now, wait_s))
        minutes = _PERMISSION_MIN if isinstance(error, Forbidden) else _PERSON_MIN
        health = health_of(error)
        if isinstance(error, Unauthorised) and source.shared:
            health = Health(State.ACCOUNT_SHARED, f"{_SHARED} {_OWN_ACCOUNT} Then link again.")
        return self._batch(health, now + timedelta(minutes=minutes))

    def _batch(self, health: Health, next_due: datetime) -> Batch:
        return Batch(self._setup.profile, NAME, next_due, health)

    def _recall(self, source: DataSource, memory: Memory) -> None:
        kept = memory.state.get("io")
        if isinstance(kept, Mapping):
            source.kept = Kept.restore(kept)
            source.directory.restore(kept.get("discovery"))

    async def _keep_distance(self) -> None:
        if self._asked_at is not None:
            wait_s = FLOOR_S - (self._clock.monotonic() - self._asked_at)
            if wait_s > 0:
                await self._clock.sleep(wait_s)


def _another(serial: str) -> Health:
    text = f"This CareLink account shows the device …{serial[-3:]}, which belongs to another person here"
    return Health(State.WRONG_DEVICE, f"{text}. Link the right account, or bind the device to the right person.")


def _nothing(no_device: bool) -> Health:
    if no_device:
        return Health(State.NO_DEVICE, "No device uploads to this CareLink account. Check the phone's app.")
    return Health(State.NO_DATA, "CareLink has no data of this person just now. Check that the phone's app uploads.")


def _version_note(source: DataSource) -> tuple[Diagnostic, ...]:
    if source.app_version == source.configured_version:
        return ()
    refused, works = source.configured_version, source.app_version
    text = f"CareLink refused app version {refused}; {works} works. Set `message_app_version`."
    return (Diagnostic(State.APP_VERSION_TOO_OLD.value, text),)
