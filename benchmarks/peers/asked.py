"""The settings file: which bridges to start, and what they are told."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.errors import SettingsInvalid


class Peer(BaseModel):
    """One bridge. In `command`, `environment` and `files` (text by path) stand `${names}` of what the day has.

    It runs until it ends by itself or `seconds` are over; then it is asked to end (SIGTERM), and made to after ten.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    command: list[str] = Field(min_length=1)
    environment: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(default=120.0, gt=0, le=86_400)


class Asked(BaseModel):
    """The whole file. `seed`: of the simulated day, the same for everybody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 1
    peers: list[Peer] = Field(default_factory=list)


@dataclass(frozen=True)
class Start:
    """A peer's command line, environment and files with everything filled in."""

    command: list[str]
    environment: dict[str, str]
    files: dict[Path, str]


def read(file: Path) -> Asked:
    """Raises SettingsInvalid naming what does not fit."""
    try:
        return Asked.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} is not valid TOML: {error}.") from None
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsInvalid(f"{file}: `{where}`: {first['msg']}.") from None


def filled(peer: Peer, names: Mapping[str, str]) -> Start:
    """Raises SettingsInvalid for a `${name}` that the day has not."""

    def fill(text: str) -> str:
        try:
            return Template(text).substitute(names)
        except KeyError as unknown:
            known = ", ".join(sorted(names))
            sentence = f"{peer.name} asks for ${{{unknown.args[0]}}}."
            raise SettingsInvalid(sentence, next_step=f"Known are: {known}.") from None
        except ValueError:
            raise SettingsInvalid(f"{peer.name}: a single $ stands where $$ was meant.") from None

    return Start(
        [fill(part) for part in peer.command],
        {name: fill(text) for name, text in peer.environment.items()},
        {Path(fill(path)): fill(text) for path, text in peer.files.items()},
    )
