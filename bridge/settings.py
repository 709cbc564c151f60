"""The settings file and its model: `glucobridge.toml`, overridden by `GLUCOBRIDGE__...` variables.

No secret lives here but the service's own token, which may come from a file (`..._FILE`). Credentials
are named by `credential = "..."` and live in the vault.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from bridge.errors import SettingsInvalid

FILE_NAME = "glucobridge.toml"
PREFIX = "GLUCOBRIDGE__"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceSettings(_Strict):
    """Where the service answers. Beyond loop-back only /healthz and /readyz answer without the token."""

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    token: SecretStr | None = None


class LogSettings(_Strict):
    """How the program logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "plain"] = "auto"


class RetentionSettings(_Strict):
    """How long captures are kept, days."""

    answers_days: int = Field(default=14, ge=1, le=3650)
    devices_days: int = Field(default=400, ge=1, le=3650)


class NetworkSettings(_Strict):
    """`allow_private_http`: credentials may go over plain HTTP to private addresses (a site in the house).
    `per_host`: requests under way to one host at one time, of all workers together; 8 of each where it is not set."""

    allow_private_http: bool = False
    per_host: int | None = Field(default=None, ge=1, le=10_000)


class TracingSettings(_Strict):
    """OpenTelemetry (extra `otel`). Without an `endpoint` the usual OTEL_EXPORTER_OTLP_* variables say where to."""

    enabled: bool = False
    endpoint: str | None = None


class UsbSettings(_Strict):
    """Devices on this machine's USB. `simulated` plugs virtual ones in instead: `640g`, `670g`, `522`, `523`,
    `contour-next`, `contour-usb`."""

    enabled: bool = True
    simulated: list[str] = Field(default_factory=list)


class JournalSettings(_Strict):
    """Where the journal is: without `uri` a file in the data folder, else a MongoDB replica set.

    `uri` may come from a file (`GLUCOBRIDGE__JOURNAL__URI_FILE`): it holds a password. With the name of a `worker`
    `run` is one of a fleet and serves up to `share` people.
    """

    uri: SecretStr | None = None
    database: str = Field(default="glucobridge", pattern=r"^[A-Za-z0-9_-]{1,38}$")
    worker: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    share: int = Field(default=500, ge=1, le=100_000)

    @model_validator(mode="after")
    def _shared(self) -> JournalSettings:
        if self.worker is not None and self.uri is None:
            raise ValueError("a worker needs `uri`, the MongoDB journal that the fleet shares")
        return self


class BleSettings(_Strict):
    """The Bluetooth of the machine. `simulated` puts virtual devices in the air instead: `contour-next-one`."""

    enabled: bool = True
    simulated: list[str] = Field(default_factory=list)


class PlugInSettings(BaseModel):
    """One reader or destination of a profile; further keys are the plug-in's own and checked by its model."""

    model_config = ConfigDict(extra="allow", frozen=True)

    plugin: str | None = None
    """Entry-point name when it differs from the table's name (two Nightscout sites)."""
    credential: str | None = None
    enabled: bool = True

    @property
    def own(self) -> dict[str, Any]:
        """The plug-in's own keys."""
        return dict(self.__pydantic_extra__ or {})


class UploadSettings(PlugInSettings):
    """How this person's data gets into CareLink; further keys are the transport's own and checked by its model."""

    transport: Literal["http", "vendor", "observe"]
    schedule: str = "daily"


class MirrorSettings(_Strict):
    """`uploaded`: a device's records wait for their verified upload where a transport pushes, `grace_min` at most,
    and never more than a minute while they are fresh. `read`: they do not wait."""

    when: Literal["uploaded", "read"] = "uploaded"
    grace_min: int = Field(default=15, ge=1, le=24 * 60)


class ProfileSettings(_Strict):
    """One person. The table's name is the opaque profile id; `name` is for people and may change."""

    name: str = ""
    timezone: str | None = None
    readers: dict[str, PlugInSettings] = Field(default_factory=dict)
    destinations: dict[str, PlugInSettings] = Field(default_factory=dict)
    bound: dict[str, AwareDatetime] = Field(default_factory=dict)
    """Since when a device (its serial) is this person's; `devices bind` writes it."""
    upload: UploadSettings | None = None
    mirror: MirrorSettings = MirrorSettings()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"{zone!r} is not an IANA time zone such as Europe/Helsinki") from error
        return zone

    @field_validator("readers", "destinations", mode="before")
    @classmethod
    def _hyphens(cls, tables: Any) -> Any:
        """Entry-point names use hyphens, which environment variables cannot."""
        return (
            {name.replace("_", "-"): table for name, table in tables.items()} if isinstance(tables, dict) else tables
        )


class Settings(_Strict):
    """The whole settings file."""

    installation: str = Field(default="", pattern=r"^[a-z0-9]{0,16}$")
    """Short id of this installation, made by `init`; names what is ours at a destination."""
    service: ServiceSettings = ServiceSettings()
    log: LogSettings = LogSettings()
    retention: RetentionSettings = RetentionSettings()
    network: NetworkSettings = NetworkSettings()
    tracing: TracingSettings = TracingSettings()
    journal: JournalSettings = JournalSettings()
    usb: UsbSettings = UsbSettings()
    ble: BleSettings = BleSettings()
    profiles: dict[str, ProfileSettings] = Field(default_factory=dict)


def load_settings(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of a data folder. Raises SettingsInvalid naming file, key and the next step."""
    environment = os.environ if environment is None else environment
    tree = _merged(_read_file(folder / FILE_NAME), dict(_overrides(environment)))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsInvalid(_explained(error), next_step="Correct it and run `glucobridge config check`.") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsInvalid(f"There is no settings file {path}.", next_step="Run `glucobridge init`.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is not valid TOML: {error}.", next_step="Correct that line.") from None
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be read: {error.strerror}.") from None


def _overrides(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, value) of every override; `<NAME>_FILE` takes the value from a file, without its line end."""
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        if name.endswith("_FILE"):
            name, value = name.removesuffix("_FILE"), _secret_file(name, value)
        yield tuple(part.lower() for part in name.removeprefix(PREFIX).split("__")), value


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsInvalid(f"{name} names {path}, which cannot be read: {error.strerror}.") from None


def _merged(tree: dict[str, Any], overrides: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    for path, value in overrides.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(_existing(node, part), {})
        node[_existing(node, path[-1])] = value
    return tree


def _existing(node: Mapping[str, Any], part: str) -> str:
    """The key of that name in the file, which may have hyphens where the variable has underscores."""
    return next((key for key in node if key.replace("-", "_").lower() == part), part)


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{FILE_NAME} has an unknown key `{where}`.{_hint(first['loc'])}"
    return f"{FILE_NAME}: `{where}`: {first['msg'].removeprefix('Value error, ')}."


def _hint(location: tuple[str | int, ...]) -> str:
    model: type[BaseModel] | None = Settings
    for part in location[:-1]:
        model = _model_below(model, str(part))
    known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f" Did you mean `{close[0]}`?" if close else f" Known here: {', '.join(known)}." if known else ""


def _model_below(model: type[BaseModel] | None, part: str) -> type[BaseModel] | None:
    if model is None or part not in model.model_fields:
        return ProfileSettings if model is Settings or model is None else model
    annotation = model.model_fields[part].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None
