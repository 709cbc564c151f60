"""What commands open: the data folder, its settings, vault, sessions and journal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bridge.errors import SettingsInvalid, VaultLocked

if TYPE_CHECKING:
    from bridge.ble import BleakRadio
    from bridge.contracts import BleRadio, Journal, Progress, UsbBus
    from bridge.credentials import Sessions, Vault
    from bridge.engine.engine import Engine
    from bridge.journal import Retention
    from bridge.journal.mongo.journal import MongoJournal
    from bridge.journal.mongo.vault import MongoCredentials
    from bridge.settings import Settings

SETTINGS, JOURNAL = "glucobridge.toml", "journal.db"


@dataclass(frozen=True, slots=True)
class Workplace:
    """One data folder."""

    folder: Path

    @property
    def settings_file(self) -> Path:
        """Where the settings are."""
        return self.folder / SETTINGS

    @property
    def journal_file(self) -> Path:
        """Where the journal is."""
        return self.folder / JOURNAL

    def settings(self) -> Settings:
        """The settings, checked."""
        from bridge.settings import load_settings

        return load_settings(self.folder)

    def usb(self, settings: Settings) -> UsbBus:
        """What is plugged in here; virtual devices where the settings ask for them."""
        from bridge.usb import PyUsbBus

        if not settings.usb.simulated:
            return PyUsbBus()
        from bridge.simulators.usb.catalogue import plugged_in

        return PyUsbBus(plugged_in(settings.usb.simulated))

    def ble(self, settings: Settings) -> BleRadio | None:
        """The Bluetooth of the machine; None where the settings switch it off or nobody has such a device."""
        used = {table.plugin or name for each in settings.profiles.values() for name, table in each.readers.items()}
        if not settings.ble.enabled or not any(name.startswith("ble-") for name in used):
            return None
        return self.radio(settings)

    def radio(self, settings: Settings) -> BleakRadio:
        """The Bluetooth of the machine, whoever has such devices; virtual ones where the settings ask for them."""
        if not settings.ble.simulated:
            from bridge.ble import BleakRadio

            return BleakRadio()
        from bridge.demo.air import virtual_radio
        from bridge.simulators.ble.catalogue import in_the_air

        return virtual_radio(in_the_air(settings.ble.simulated))

    def person(self, wanted: str | None, settings: Settings) -> str:
        """Profile id from an id or a display name; the only one when none is named."""
        if wanted is None and len(settings.profiles) == 1:
            return next(iter(settings.profiles))
        for profile, person in settings.profiles.items():
            if wanted in {profile, person.name}:
                return profile
        known = ", ".join(f"{p} ({s.name})" if s.name else p for p, s in settings.profiles.items())
        asked = f"There is no profile {wanted!r}." if wanted else "There are several people here."
        raise SettingsInvalid(asked, next_step=f"Say --profile with one of: {known or 'none yet'}.")


def default_folder() -> Path:
    """GLUCOBRIDGE_DATA, else the user's data folder."""
    if named := os.environ.get("GLUCOBRIDGE_DATA"):
        return Path(named)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "glucobridge"


@asynccontextmanager
async def opened_vault(place: Workplace, settings: Settings) -> AsyncIterator[Vault]:
    """The vault with its key: beside the journal in MongoDB where the settings name one, else in the data folder.

    Raises VaultLocked, also while credentials of the folder are not in MongoDB yet.
    """
    from bridge.credentials import Vault, find_key, open_vault

    if settings.journal.uri is None:
        yield Vault(place.folder, find_key(place.folder))
        return
    if any((place.folder / "vault").glob("*.enc")):
        raise not_moved()
    async with opened_store(settings) as store:
        yield await open_vault(store, find_key(place.folder))


def not_moved() -> VaultLocked:
    """The error while credentials are where nobody looks for them."""
    return VaultLocked(
        "The credentials are in the data folder, but the journal is in MongoDB.",
        next_step="Stop all workers, then run `glucobridge credentials move`.",
        state="vault_not_moved",
    )


def opened_store(settings: Settings) -> AbstractAsyncContextManager[MongoCredentials]:
    """Where the credentials of a journal in MongoDB are. Raises SettingsInvalid where the settings name none."""
    from bridge.journal.mongo import opened_credentials

    return opened_credentials(_address(settings), settings.journal.database)


def _address(settings: Settings) -> str:
    if settings.journal.uri is None:
        raise SettingsInvalid(
            "The settings name no MongoDB.", next_step='Add `[journal]` with `uri = "mongodb://..."`.'
        )
    return settings.journal.uri.get_secret_value()


@asynccontextmanager
async def opened_sessions(place: Workplace, settings: Settings, *, counted: bool = False) -> AsyncIterator[Sessions]:
    """All sessions of this process, closed at the end. `counted`: the caller limits the requests to one host."""
    from bridge.credentials import PER_HOST, Sessions, http_client
    from bridge.engine.clock import SystemClock

    async with opened_vault(place, settings) as vault:
        per_host = None if counted else settings.network.per_host or PER_HOST
        sessions = Sessions(
            vault, http_client(per_host), SystemClock(), allow_private_http=settings.network.allow_private_http
        )
        try:
            yield sessions
        finally:
            await sessions.close()


@asynccontextmanager
async def opened_journal(
    place: Workplace, settings: Settings, *, read_only: bool = False, vault: Vault | None = None
) -> AsyncIterator[Journal]:
    """The journal that the settings name, closed at the end. A `vault` that is open already is used."""
    if vault is None:
        async with (
            opened_vault(place, settings) as found,
            opened_journal(place, settings, read_only=read_only, vault=found) as journal,
        ):
            yield journal
        return
    if settings.journal.uri is not None:
        async with opened_mongo(settings, vault, read_only=read_only) as shared:
            yield shared
        return
    from bridge.credentials import VaultSealer
    from bridge.engine.clock import SystemClock
    from bridge.journal import open_journal

    sealer, keep = VaultSealer(vault), _retention(settings)
    journal = await open_journal(
        place.journal_file, clock=SystemClock(), sealer=sealer, read_only=read_only, keep=keep
    )
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def opened_mongo(
    settings: Settings, vault: Vault, *, read_only: bool = False, worker: str | None = None
) -> AsyncIterator[MongoJournal]:
    """The journal in MongoDB, closed at the end. Raises SettingsInvalid where the settings name none."""
    from bridge.credentials import VaultSealer
    from bridge.engine.clock import SystemClock
    from bridge.journal.mongo import open_mongo_journal

    journal = await open_mongo_journal(
        _address(settings), settings.journal.database, clock=SystemClock(),
        sealer=VaultSealer(vault), read_only=read_only, keep=_retention(settings), worker=worker,
    )  # fmt: skip
    try:
        yield journal
    finally:
        await journal.close()


def _retention(settings: Settings) -> Retention:
    from bridge.journal import Retention

    return Retention(answer_days=settings.retention.answers_days, device_days=settings.retention.devices_days)


@asynccontextmanager
async def opened_engine(
    place: Workplace, settings: Settings, *, progress: Progress | None = None
) -> AsyncIterator[Engine]:
    """The engine over journal and sessions; the caller holds the folder's lock."""
    from bridge.contracts.setup import silent
    from bridge.engine.build import adapters, backfills, graces, hot_plug, readers, uploadings
    from bridge.engine.clock import SystemClock
    from bridge.engine.engine import Engine

    clock, random = SystemClock(), Random()  # noqa: S311
    usb = place.usb(settings) if settings.usb.enabled else None
    async with (
        opened_sessions(place, settings) as sessions,
        opened_journal(place, settings, vault=sessions.vault) as journal,
    ):
        yield Engine(
            journal,
            list(readers(settings, sessions.authorised, clock, random, usb, progress or silent, place.ble(settings))),
            list(adapters(settings, sessions.authorised, clock, random)),
            clock,
            random,
            hot_plug(settings, usb, clock),
            list(uploadings(settings, journal, sessions.authorised, clock, random, usb)),
            graces(settings),
            list(backfills(settings, journal, sessions.authorised, clock)),
        )
