"""The way into CareLink that a person's settings name: its transport and what reads back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from bridge.contracts import DeviceRef, Memory, Session, Setup, Transport, Verifier
from bridge.engine.backfill import Exports
from bridge.engine.bindings import Bindings
from bridge.engine.importing import CLOUD
from bridge.engine.registry import file_reader
from bridge.errors import SettingsInvalid
from bridge.model import Capture, Record
from bridge.settings import PlugInSettings, ProfileSettings, UploadSettings

PUSHING = frozenset({"http", "vendor"})
"""Transports that send: their devices' records wait for the verified upload."""
_READ_BACK = ("region", "account_id", "username", "base_url")
"""Keys of the upload table that say where CareLink is read back."""


def way(
    person: ProfileSettings, table: UploadSettings, setup: Setup, sessions: Callable[[str], Session]
) -> tuple[Transport, Verifier]:
    """Transport and verifier of an upload table. Raises SettingsInvalid naming what is missing."""
    if table.transport == "http":
        return _over_http(table, setup, sessions)
    from bridge.uploader import CareLinkVerifier, ObserveTransport, VendorTransport

    own = {key: value for key, value in table.own.items() if key not in _READ_BACK}
    bare = replace(setup, settings=own)
    asked = replace(setup, settings=_read_back(person, table), session=sessions(_credential(person, table)))
    verifier: CareLinkVerifier = _checked(lambda: CareLinkVerifier.of_carelink(asked, export_records(setup)))
    if table.transport == "observe":
        return _checked(lambda: ObserveTransport(bare)), verifier
    return _checked(lambda: VendorTransport(bare, _reserved(setup), verifier.uploader_allowed)), verifier


def pace(table: UploadSettings) -> str:
    """The schedule as it works out, for a person: no closer than the transport's own distance."""
    from bridge.uploader import HttpSettings, ObserveSettings, VendorSettings

    models: Mapping[str, type[BaseModel]]
    models = {"http": HttpSettings, "observe": ObserveSettings, "vendor": VendorSettings}
    usual = models[table.transport].model_fields["min_interval_s"].default
    least_s = float(table.own.get("min_interval_s", usual))
    return f"{table.schedule}, at least {least_s / 60:g} min apart"


def _over_http(table: UploadSettings, setup: Setup, sessions: Callable[[str], Session]) -> tuple[Transport, Verifier]:
    from bridge.uploader import CareLinkVerifier, HttpTransport

    if table.credential is None:
        raise SettingsInvalid(
            f"`profiles.{setup.profile}.upload` names no credential.", next_step="Run `glucobridge link upload`."
        )
    linked = replace(setup, session=sessions(table.credential))
    transport: Transport = _checked(lambda: HttpTransport(linked))
    return transport, CareLinkVerifier.of_clu1(linked)


def _checked(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(f"The upload settings: `{key}`: {first['msg']}.", next_step="Correct it.") from None


def _credential(person: ProfileSettings, table: UploadSettings) -> str:
    cloud = person.readers.get(CLOUD)
    name = table.credential or (cloud.credential if cloud else None)
    if name is None:
        raise SettingsInvalid(
            "Uploads are verified by reading CareLink back, and no CareLink account is linked.",
            next_step="Run `glucobridge link carelink`, or take the `upload` table out.",
        )
    return name


def _read_back(person: ProfileSettings, table: UploadSettings) -> Mapping[str, Any]:
    cloud = person.readers.get(CLOUD)
    own = {key: value for key, value in table.own.items() if key in _READ_BACK}
    if cloud is None:
        return own
    known = {"region": cloud.own.get("region")}
    if table.credential in {None, cloud.credential}:
        known["username"] = cloud.own.get("username")
    return {key: value for key, value in {**known, **own}.items() if value}


def _reserved(setup: Setup) -> Callable[[DeviceRef], AbstractAsyncContextManager[object]]:
    """While the vendor's program runs, none of our readers opens a device."""
    usb = setup.usb
    return lambda _: usb.reserve() if usb is not None else nullcontext()


def export_records(setup: Setup) -> Callable[[bytes], Sequence[Record]]:
    """Decodes an export that was asked for as a check, not as a source."""

    def decode(body: bytes) -> Sequence[Record]:
        reader = file_reader(setup)
        context = {"timezone": setup.timezone or "UTC"}
        capture = Capture(setup.profile, reader.name, reader.file_feed, setup.clock.now(), body, context)
        return reader.decode(capture, Memory()).records

    return decode


def export_job(person: ProfileSettings, cloud: PlugInSettings, setup: Setup, session: Session) -> Exports | None:
    """CareLink's export job over a patient's own account; None where no region is known."""
    region = cloud.own.get("region")
    if region is None:
        return None
    from bridge.uploader import ReadBackSettings
    from bridge.uploader.readback import CareLinkReadBack

    upload = person.upload.own if person.upload is not None else {}
    settings = ReadBackSettings.model_validate({"region": region, "base_url": upload.get("base_url")})
    zone = ZoneInfo(setup.timezone or "UTC")
    return CareLinkReadBack(session, settings.url, setup.clock, zone, export_records(setup))


def devices_of(bindings: Bindings, profile: str) -> list[DeviceRef]:
    """What a person uploads: their bound devices, else the pump that the account itself knows."""
    bound = [each for each in bindings.all if each.profile == profile]
    kinds = {each.serial: "meter" if each.reader.startswith("contour") else "pump" for each in bound}
    return [DeviceRef(kind, serial=serial) for serial, kind in kinds.items()] or [DeviceRef("pump")]
