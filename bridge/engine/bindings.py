"""Whose device is whose: serials named in the settings, each bound to one person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bridge.engine.registry import reader_class
from bridge.errors import SettingsInvalid
from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Binding:
    """A device's serial, read by one reader into one profile; theirs since then, where that was noted down."""

    profile: str
    reader: str
    serial: str
    since: datetime | None = None


class Bindings:
    """All bindings of the settings. Raises SettingsInvalid when two people claim one device."""

    def __init__(self, settings: Settings) -> None:
        self.all = list(_bindings(settings))
        owners: dict[str, str] = {}
        for each in self.all:
            if owners.setdefault(each.serial, each.profile) != each.profile:
                raise SettingsInvalid(
                    f"The device …{each.serial[-3:]} is bound to {owners[each.serial]} and to {each.profile}.",
                    next_step="One device belongs to one person: take it out of one of the two `devices` lists.",
                )
        self._owners = owners

    def owner(self, serial: str) -> str | None:
        """The profile a serial is bound to."""
        return self._owners.get(serial)

    def of_others(self, profile: str) -> frozenset[str]:
        """Serials bound to anybody else."""
        return frozenset(serial for serial, owner in self._owners.items() if owner != profile)

    def wakes(self, reader: str, serial: str | None) -> set[str]:
        """Profiles whose reader a plugged-in device concerns; without a serial everybody who has devices there."""
        return {each.profile for each in self.all if each.reader == reader and serial in {None, each.serial}}


def _bindings(settings: Settings) -> Iterator[Binding]:
    for profile, person in settings.profiles.items():
        for name, table in person.readers.items():
            plugin = table.plugin or name
            if table.enabled and "devices" in reader_class(plugin).Settings.model_fields:
                for serial in table.own.get("devices", []):
                    yield Binding(profile, plugin, str(serial), person.bound.get(str(serial)))
