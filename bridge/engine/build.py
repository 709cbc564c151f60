"""From the settings to pollers and deliverers: the one place where rooms meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from random import Random

from bridge.contracts import Adapter, BleRadio, Clock, Destination, Journal, Progress, Reader, Session, Setup, UsbBus
from bridge.contracts.setup import silent
from bridge.engine.backfill import Backfill
from bridge.engine.bindings import Bindings
from bridge.engine.importing import CLOUD, Importer
from bridge.engine.plugging import Plugging, Wake
from bridge.engine.registry import adapter_class, checked, device_plugins, file_reader, reader_class
from bridge.engine.schedule import Schedule
from bridge.engine.uploading import Uploading, Uploads
from bridge.engine.ways import PUSHING, devices_of, export_job, way
from bridge.errors import SettingsInvalid
from bridge.settings import PlugInSettings, ProfileSettings, Settings

SessionOf = Callable[[str], Session]
"""The authorised session of a credential's name."""


def readers(
    settings: Settings,
    sessions: SessionOf | None,
    clock: Clock,
    random: Random,
    usb: UsbBus | None = None,
    progress: Progress = silent,
    ble: BleRadio | None = None,
) -> Iterator[tuple[str, Reader]]:
    """(profile, reader) of everything enabled. Raises SettingsInvalid."""
    bindings = Bindings(settings)
    for profile, person in settings.profiles.items():
        for name, table in person.readers.items():
            if table.enabled:
                plugin = reader_class(table.plugin or name)
                where = f"profiles.{profile}.readers.{name}"
                checked(plugin, table.own, where)
                open_session = sessions if plugin.linking is not None else None
                setup = _setup(settings, profile, person, table, where, open_session, clock, random)
                others = bindings.of_others(profile)
                yield profile, plugin(replace(setup, usb=usb, ble=ble, progress=progress, bound_elsewhere=others))


def hot_plug(settings: Settings, usb: UsbBus | None, clock: Clock) -> Callable[[Wake], Plugging] | None:
    """What makes the engine's hot-plug watch; None where USB is off or the extra `usb` is not installed."""
    if usb is None or find_spec("usb") is None:
        return None
    bindings = Bindings(settings)
    return lambda wake: Plugging(usb, device_plugins, bindings, clock, wake)


def graces(settings: Settings) -> dict[str, timedelta]:
    """How long a person's device records wait for their upload; nobody's where nothing pushes."""
    return {
        profile: timedelta(minutes=person.mirror.grace_min)
        for profile, person in settings.profiles.items()
        if person.mirror.when == "uploaded" and person.upload is not None and person.upload.enabled
        and person.upload.transport in PUSHING
    }  # fmt: skip


def uploadings(
    settings: Settings, journal: Journal, sessions: SessionOf, clock: Clock, random: Random, usb: UsbBus | None
) -> Iterator[Uploading]:
    """The upload queues of everybody who has one. Raises SettingsInvalid."""
    bindings = Bindings(settings)
    for profile, person in settings.profiles.items():
        if person.upload is not None and person.upload.enabled:
            where = f"profiles.{profile}.upload"
            setup = _setup(settings, profile, person, person.upload, where, None, clock, random)
            setup = replace(setup, usb=usb, bound_elsewhere=bindings.of_others(profile))
            transport, verifier = way(person, person.upload, setup, sessions)
            schedule = Schedule(person.upload.schedule, profile)
            schedule.next_run(clock.now(), clock.now(), person.timezone or "UTC")
            devices = devices_of(bindings, profile)
            uploads = Uploads(profile, transport, verifier, schedule, person.timezone or "UTC", devices)
            yield Uploading(journal, uploads, clock)


def backfills(settings: Settings, journal: Journal, sessions: SessionOf, clock: Clock) -> Iterator[Backfill]:
    """What fills the cloud's gaps, for everybody who has a patient's own CareLink account."""
    bindings = Bindings(settings)
    for profile, person in settings.profiles.items():
        cloud = person.readers.get(CLOUD)
        if cloud is None or not cloud.enabled or cloud.credential is None or cloud.own.get("role") == "carepartner":
            continue
        zone = person.timezone or "UTC"
        setup = Setup(profile, {}, clock, Random(0), timezone=zone)  # noqa: S311
        exports = export_job(person, cloud, setup, sessions(cloud.credential))
        if exports is not None:
            importer = Importer(journal, file_reader(setup), profile, clock, bindings.of_others(profile))
            yield Backfill(journal, importer, exports, profile, zone, clock)


def adapters(
    settings: Settings, sessions: SessionOf | None, clock: Clock, random: Random
) -> Iterator[tuple[Destination, Adapter]]:
    """(destination, adapter) of everything enabled. Raises SettingsInvalid."""
    for profile, person in settings.profiles.items():
        for name, table in person.destinations.items():
            if table.enabled:
                plugin = adapter_class(table.plugin or name)
                where = f"profiles.{profile}.destinations.{name}"
                checked(plugin, table.own, where)
                setup = _setup(settings, profile, person, table, where, sessions, clock, random)
                yield Destination(profile, name), plugin(setup)


def _setup(
    settings: Settings,
    profile: str,
    person: ProfileSettings,
    table: PlugInSettings,
    where: str,
    sessions: SessionOf | None,
    clock: Clock,
    random: Random,
) -> Setup:
    if sessions is not None and table.credential is None:
        raise SettingsInvalid(
            f"`{where}` names no credential.", next_step=f"Run `glucobridge link {where.rsplit('.')[-1]}`."
        )
    session = sessions(table.credential) if sessions is not None and table.credential is not None else None
    return Setup(
        profile=profile,
        settings=table.own,
        clock=clock,
        random=random,
        session=session,
        timezone=person.timezone,
        installation=settings.installation,
    )
