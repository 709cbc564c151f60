"""From the settings to pollers and deliverers: the one place where rooms meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from random import Random

from bridge.contracts import Adapter, Clock, Destination, Progress, Reader, Session, Setup, UsbBus
from bridge.contracts.setup import silent
from bridge.engine.bindings import Bindings
from bridge.engine.plugging import Plugging, Wake
from bridge.engine.registry import adapter_class, checked, device_plugins, reader_class
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
                yield profile, plugin(replace(setup, usb=usb, progress=progress, bound_elsewhere=others))


def hot_plug(settings: Settings, usb: UsbBus | None, clock: Clock) -> Callable[[Wake], Plugging] | None:
    """What makes the engine's hot-plug watch; None where USB is off or the extra `usb` is not installed."""
    if usb is None or find_spec("usb") is None:
        return None
    bindings = Bindings(settings)
    return lambda wake: Plugging(usb, device_plugins, bindings, clock, wake)


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
