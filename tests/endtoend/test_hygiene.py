"""No secret and no name turns up in anything that is kept, shown or logged, through a run full of outages."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import structlog

from bridge.backup import save
from bridge.contracts import Interval
from bridge.credentials import Vault, create_key
from bridge.demo.world import SITE_SECRET
from bridge.engine.engine import Engine
from bridge.errors import BridgeError
from bridge.log import configure
from bridge.settings import FILE_NAME, LogSettings, Settings, load_settings
from bridge.simulators.carelink_cloud import Family, Person
from bridge.simulators.fault_proxy import ProxyFault, Seen, nothing
from bridge.simulators.patient import VirtualPatient
from bridge.web.metrics import exposition
from tests.support.clock import FakeClock
from tests.support.house import House, built

EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
USER, FIRST, LAST = "zwaantje-q7", "Zwaantje", "Quillfeather"
SERVICE_TOKEN = "invented-service-token-4711"
NAMES = frozenset({FIRST, LAST, f"{USER}@example.org"})
PLACES = ("carelink", "nightscout", "tidepool")
STORMS = [
    ProxyFault("status", 401), ProxyFault("status", 403), ProxyFault("status", 500), ProxyFault("status", 429),
    ProxyFault("html", 200), ProxyFault("garble"), ProxyFault("truncate"), ProxyFault("cut_midway"),
    ProxyFault("cut_before"),
]  # fmt: skip


@dataclass
class Evidence:
    """What must not be found (`secrets`), and the texts of every surface by its name."""

    secrets: set[str] = field(default_factory=set)
    surfaces: dict[str, bytes] = field(default_factory=dict)

    def add(self, surface: str, *texts: object) -> None:
        """Put more of a surface in evidence."""
        said = b"\n".join(one if isinstance(one, bytes) else str(one).encode() for one in texts)
        self.surfaces[surface] = self.surfaces.get(surface, b"") + b"\n" + said

    def require_absent(self, words: frozenset[str] | set[str], surfaces: set[str]) -> None:
        """None of the words in any of the surfaces; a failure names the surface and shows no more than needed."""
        for surface in sorted(surfaces):
            held = self.surfaces[surface]
            assert held.strip(), f"{surface} has nothing in it"
            for word in sorted(words):
                where = held.lower().find(word.lower().encode())
                assert where < 0, f"{surface} shows {word!r}: {held[max(0, where - 60) : where + 60]!r}"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The program's own log, as JSON lines."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure(LogSettings(level="debug", format="json"))
    yield stream
    structlog.reset_defaults()


async def test_nothing_that_is_kept_shown_or_logged_holds_a_secret_or_a_name(
    tmp_path: Path, log: io.StringIO
) -> None:
    clock, evidence = FakeClock(EVENING), Evidence()
    person = Person(USER, VirtualPatient(1), first_name=FIRST, last_name=LAST)
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(built(tmp_path, clock, [person], proxied=PLACES))
        evidence.secrets |= {SITE_SECRET, hashlib.sha1(SITE_SECRET.encode()).hexdigest()}  # noqa: S324
        evidence.secrets |= {create_key(tmp_path).text(), SERVICE_TOKEN} | await _held(house)
        at_first = await _held(house)
        engine = await stack.enter_async_context(house.engine())
        assert (await engine.once()).exit_code == 0
        for storm in STORMS:
            await _weathered(house, engine, clock, storm, evidence)
        await _struck(house, engine, clock, ProxyFault("garble"), evidence, sign_in=True)
        evidence.add("health", await engine.once())
        assert len(await _held(house) - at_first) >= 4, "CareLink's and Tidepool's tokens were to be rotated"
        await _require_real(house, evidence)
        await _gather(house, engine, evidence)
    evidence.add("log", log.getvalue())
    assert log.getvalue().count("leaky_error") > 10
    evidence.require_absent(evidence.secrets, set(evidence.surfaces))
    evidence.require_absent(NAMES, set(evidence.surfaces) - {"settings", f"archive {FILE_NAME}"})
    evidence.require_absent({USER}, {"log", "health", "errors", "metrics", "describe"})


async def _held(house: House) -> set[str]:
    """Every secret of the vault now, and every refresh token that CareLink ever gave."""
    vault = Vault(house.folder, create_key(house.folder))
    held = {secret for name in await vault.names() for secret in (await vault.load(name)).secrets}
    return held | set(house.world.carelink.tokens._refresh)


async def _require_real(house: House, evidence: Evidence) -> None:
    """What is looked for is what was in play: tokens of all three, and the name in what CareLink answers."""
    vault = Vault(house.folder, create_key(house.folder))
    assert await vault.names() == ["p1-carelink-cloud", "p1-nightscout", "p1-tidepool"]
    assert all([set((await vault.load(name)).secrets) <= evidence.secrets for name in await vault.names()])
    assert min(map(len, evidence.secrets)) > 15
    picture = house.world.carelink.picture(USER)
    assert picture is not None
    answer = house.world.carelink.answer(picture, Family.NGP)
    assert FIRST.encode() in answer
    assert LAST.encode() in answer


async def _weathered(house: House, engine: Engine, clock: FakeClock, storm: ProxyFault, evidence: Evidence) -> None:
    """Everything is struck while tokens are due; then all is well again, which a whole cycle must show."""
    await _struck(house, engine, clock, storm, evidence)
    for _ in range(2):
        clock.advance(2 * 3600)
        evidence.add("health", await engine.once())
        evidence.secrets |= await _held(house)
    assert not (await engine.once()).needs_person, f"{storm} left something that is not well"
    await _told(engine, evidence)


async def _struck(
    house: House, engine: Engine, clock: FakeClock, storm: ProxyFault, evidence: Evidence, *, sign_in: bool = False
) -> None:
    """`sign_in`: token answers are spoilt as well, which costs the grant: they are given once."""
    spares = storm.name in {"garble", "truncate", "cut_midway"} and not sign_in

    def plan(seen: Seen, _random: Random) -> ProxyFault | None:
        return None if spares and "token" in seen.path else storm

    for proxy in house.proxies.values():
        proxy.plan = plan
    clock.advance(4 * 3600)
    evidence.add("health", await engine.once())
    await _asked_directly(engine, clock, evidence)
    await _told(engine, evidence)
    evidence.secrets |= await _held(house)
    for proxy in house.proxies.values():
        proxy.plan = nothing


async def _asked_directly(engine: Engine, clock: FakeClock, evidence: Evidence) -> None:
    """Errors as they are raised, and as a loop's crash would log them."""
    window = Interval(clock.now() - timedelta(hours=6), clock.now())
    for sink in engine.sinks.values():
        evidence.add("health", await sink.adapter.prepare())
        try:
            await sink.adapter.stored(window)
        except BridgeError as error:
            evidence.add("errors", repr(error), error, error.__dict__, repr(error.__context__), repr(error.__cause__))
            structlog.get_logger("tests").exception("leaky_error", person=f"{USER}@example.org")


async def _told(engine: Engine, evidence: Evidence) -> None:
    """What `status` and the metrics tell."""
    for profile_reader in await engine.journal.readers():
        evidence.add("health", profile_reader)
    for destination in await engine.journal.destinations():
        evidence.add("health", destination)
    evidence.add("health", [held.reason for held in await engine.journal.quarantine()])
    body, _ = await exposition(engine)
    evidence.add("metrics", body)


async def _gather(house: House, engine: Engine, evidence: Evidence) -> None:
    """The data folder, what its captures say when unsealed, the settings and the backup."""
    for file in house.folder.glob("journal.db*"):
        evidence.add("journal file", file.read_bytes())
    captures = await engine.journal.captures("p1")
    assert len(captures) > 5
    evidence.add("captures", *(capture.body for capture in captures), *(capture.context for capture in captures))
    evidence.add("memory", await engine.journal.memory("p1", "carelink-cloud"))
    evidence.add("state", *[await engine.journal.recall(destination) for destination in engine.sinks])
    vault = Vault(house.folder, create_key(house.folder))
    evidence.add("describe", *await vault.describe(house.clock.now().timestamp()), repr(vault))
    for path in (house.folder / "vault").iterdir():
        evidence.add("vault files", path.read_bytes())
    (house.folder / FILE_NAME).write_text(_toml(house.settings), "utf-8")
    settings = load_settings(house.folder, {"GLUCOBRIDGE__SERVICE__TOKEN": SERVICE_TOKEN})
    assert settings.service.token is not None
    evidence.add("settings", repr(settings), settings, settings.model_dump(), settings.model_dump_json())
    evidence.add("settings", [repr(each) for each in (*engine.sinks.values(), *engine.sources)])
    _gather_archive(house.folder, evidence)


def _gather_archive(folder: Path, evidence: Evidence) -> None:
    target = folder / "backup.tar.gz"
    save(folder, target)
    with tarfile.open(target) as archive:
        for member in archive.getmembers():
            held = archive.extractfile(member)
            assert held is not None
            evidence.add(f"archive {member.name}", member.name, member.uname, held.read())
    assert {"archive journal.db", f"archive {FILE_NAME}"} <= evidence.surfaces.keys()


def _toml(settings: Settings) -> str:
    """The settings file that linking would have written."""
    lines = [f"installation = {json.dumps(settings.installation)}"]
    for profile, person in settings.profiles.items():
        lines += [f"[profiles.{profile}]", f"name = {json.dumps(person.name)}"]
        for group, tables in (("readers", person.readers), ("destinations", person.destinations)):
            for name, table in tables.items():
                lines.append(f"[profiles.{profile}.{group}.{name}]")
                values = {"credential": table.credential, **table.own}
                lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines)
