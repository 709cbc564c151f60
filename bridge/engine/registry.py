"""Readers and adapters by name. A plug-in is code that the settings file trusts by naming it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from pydantic import BaseModel, ValidationError

from bridge.contracts import Adapter, DevicePlugIn, FileReader, Linking, Reader, Setup
from bridge.contracts.ble import BlePlugIn
from bridge.errors import SettingsInvalid

READERS, ADAPTERS = "bridge.readers", "bridge.adapters"


class ReaderClass(Protocol):
    """A reader's entry point."""

    name: str
    Settings: type[BaseModel]
    linking: Linking | None

    def __call__(self, setup: Setup) -> Reader:
        """The reader of one profile."""
        ...


class AdapterClass(Protocol):
    """An adapter's entry point."""

    name: str
    Settings: type[BaseModel]
    linking: Linking

    def __call__(self, setup: Setup) -> Adapter:
        """The adapter of one destination."""
        ...


def names(group: str) -> list[str]:
    """All installed names of a group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def reader_class(name: str) -> ReaderClass:
    """The class behind a reader's name. Raises SettingsInvalid for an unknown one."""
    return cast(ReaderClass, _load(READERS, name, "reader"))


def file_reader(setup: Setup) -> FileReader:
    """The reader of CareLink's export files."""
    return cast(FileReader, reader_class("carelink-csv")(setup))


def device_plugins() -> list[DevicePlugIn]:
    """The installed readers of plugged-in devices."""
    found: list[Any] = [reader_class(name) for name in names(READERS)]
    return [plugin for plugin in found if hasattr(plugin, "plugs")]


def binding_readers() -> list[str]:
    """Names of the installed readers whose devices belong to a person."""
    return [name for name in names(READERS) if "devices" in reader_class(name).Settings.model_fields]


def ble_plugin(name: str) -> BlePlugIn:
    """The class of a reader of Bluetooth devices. Raises SettingsInvalid for an unknown one."""
    return cast(BlePlugIn, reader_class(name))


def adapter_class(name: str) -> AdapterClass:
    """The class behind a destination's name. Raises SettingsInvalid for an unknown one."""
    return cast(AdapterClass, _load(ADAPTERS, name, "destination"))


@cache  # looking through what is installed takes milliseconds: times a worker's people, longer than a lease
def _load(group: str, name: str, what: str) -> Any:
    found = next(iter(entry_points(group=group, name=name)), None)
    if found is None:
        known = ", ".join(names(group))
        raise SettingsInvalid(f"There is no {what} named `{name}`.", next_step=f"Installed are: {known}.")
    return found.load()


def checked(plugin: ReaderClass | AdapterClass, own: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The plug-in's own settings after its model. Raises SettingsInvalid naming the key."""
    try:
        plugin.Settings.model_validate(own)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(plugin.Settings.model_fields)
        hint = f"Known here: {known}." if first["type"] == "extra_forbidden" else "Correct it."
        raise SettingsInvalid(f"`{where}.{key}`: {first['msg']}.", next_step=hint) from None
    return own
