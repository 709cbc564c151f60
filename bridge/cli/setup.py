"""`init`, `config check`."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from bridge.cli.workplace import Workplace
from bridge.errors import SettingsInvalid

_FIRST = """\
# glucobridge settings. `glucobridge config check` says whether they fit.
# No secret belongs in here: credentials are in the vault, linked by `glucobridge link ...`.
installation = "{installation}"

[profiles.{profile}]
name = "{name}"
{timezone}
"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    config = typer.Typer(help="The settings file.", no_args_is_help=True)
    config.command("check")(check)
    app.add_typer(config, name="config")


def init(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the person, for your eyes only.")] = "me",
    timezone: Annotated[str | None, typer.Option(help="IANA time zone, such as Europe/Helsinki.")] = None,
) -> None:
    """Make the data folder: settings, vault key, one profile."""
    from bridge.credentials import create_key

    place: Workplace = context.obj
    if place.settings_file.exists():
        raise SettingsInvalid(
            f"{place.settings_file} exists already.", next_step="Next: `glucobridge link carelink`."
        )
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    create_key(place.folder)
    zone = f'timezone = "{_checked_zone(timezone)}"' if timezone else '# timezone = "Europe/Helsinki"'
    body = _FIRST.format(
        installation=secrets.token_hex(4), profile=f"p{secrets.token_hex(4)}", name=_toml_text(name), timezone=zone
    )
    place.settings_file.write_text(body, "utf-8")
    place.settings_file.chmod(0o600)
    print(f"Made {place.folder}. Keep a copy of vault.key somewhere safe: backups do not hold it.")
    print("Next: `glucobridge link carelink`, then `link nightscout` or `link tidepool`, then `run`.")


def _checked_zone(zone: str) -> str:
    from bridge.settings import ProfileSettings

    try:
        ProfileSettings(timezone=zone)
    except ValueError:
        raise SettingsInvalid(f"{zone!r} is not an IANA time zone.", next_step="Such as Europe/Helsinki.") from None
    return zone


def _toml_text(text: str) -> str:
    return text.replace("\\", "").replace('"', "'").replace("\n", " ").strip()


def check(context: typer.Context) -> None:
    """Say whether the settings fit, plug-ins included."""
    from random import Random

    from bridge.engine.build import adapters, readers
    from bridge.engine.clock import SystemClock

    settings = context.obj.settings()
    sources = list(readers(settings, None, SystemClock(), Random(0)))  # noqa: S311
    sinks = list(adapters(settings, None, SystemClock(), Random(0)))  # noqa: S311
    print(f"The settings fit: {len(settings.profiles)} people, {len(sources)} readers, {len(sinks)} destinations.")
