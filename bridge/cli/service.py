"""`service`: the running service as the user's own unit (systemd) or agent (launchd), written and taken away."""

from __future__ import annotations

import plistlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.workplace import Workplace
from bridge.errors import SettingsInvalid

NAME, LABEL = "glucobridge", "org.glucobridge.run"


@dataclass(frozen=True, slots=True)
class Unit:
    """A file that makes the system run the service, and what to say to it."""

    path: Path
    text: str
    start: tuple[str, ...]
    stop: tuple[str, ...]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    service = typer.Typer(help="Let the system keep `run` running.", no_args_is_help=True)
    service.command()(install)
    service.command()(remove)
    app.add_typer(service, name="service")


def install(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--print", help="Only print the file.")] = False,
) -> None:
    """Write the systemd unit (Linux) or launchd agent (macOS) of this user for this data folder."""
    place: Workplace = context.obj
    place.settings()
    unit = _unit(place)
    if show:
        print(unit.text, end="")
        return
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    unit.path.write_text(unit.text, "utf-8")
    print(f"Written: {unit.path}. Start it with:")
    print("\n".join(f"  {line}" for line in unit.start))


def remove(context: typer.Context) -> None:
    """Take the file away again. Data, settings and credentials stay."""
    unit = _unit(context.obj)
    if not unit.path.exists():
        raise SettingsInvalid(f"There is no {unit.path}.", next_step="Nothing has to be removed.")
    unit.path.unlink()
    print(f"Removed: {unit.path}. Stop what still runs with:")
    print("\n".join(f"  {line}" for line in unit.stop))


def _unit(place: Workplace) -> Unit:
    command = [sys.executable, "-m", "bridge", "--data", str(place.folder.resolve()), "run"]
    if sys.platform == "darwin":
        return launchd(command, Path.home())
    if sys.platform.startswith("linux"):
        return systemd(command, Path.home())
    raise SettingsInvalid(
        "Only systemd and launchd are written here.", next_step="docs/scheduling has an example for Task Scheduler."
    )


def systemd(command: list[str], home: Path) -> Unit:
    """A user unit. It is started again whenever it ends; SIGTERM settles what is on its way."""
    lines: Mapping[str, tuple[str, ...]] = {
        "Unit": (
            "Description=glucobridge carries diabetes data by itself",
            "Wants=network-online.target",
            "After=network-online.target",
        ),
        "Service": (
            f"ExecStart={' '.join(map(_quoted, command))}",
            "Restart=always",
            "RestartSec=5",
            "TimeoutStopSec=30",
            "NoNewPrivileges=yes",
            "UMask=0077",
        ),
        "Install": ("WantedBy=default.target",),
    }
    text = "\n".join("\n".join((f"[{name}]", *body, "")) for name, body in lines.items())
    path = home / ".config" / "systemd" / "user" / f"{NAME}.service"
    start = ("systemctl --user daemon-reload", f"systemctl --user enable --now {NAME}",
             "loginctl enable-linger    # so that it also runs while you are not logged in")  # fmt: skip
    return Unit(path, text, start, (f"systemctl --user disable --now {NAME}", "systemctl --user daemon-reload"))


def _quoted(word: str) -> str:
    """A word of ExecStart as systemd reads it: its own quotes, specifiers and variables doubled."""
    for sign, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        word = word.replace(sign, written)
    return f'"{word}"'


def launchd(command: list[str], home: Path) -> Unit:
    """An agent that starts at login and is started again whenever it ends."""
    body = {
        "Label": LABEL,
        "ProgramArguments": command,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "Umask": 0o077,
        "StandardErrorPath": str(home / "Library" / "Logs" / "glucobridge.log"),
    }
    path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    start, stop = f"launchctl bootstrap gui/$(id -u) {path}", f"launchctl bootout gui/$(id -u)/{LABEL}"
    return Unit(path, plistlib.dumps(body).decode(), (start,), (stop,))
