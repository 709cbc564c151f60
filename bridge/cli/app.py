"""The command tree. Imports here stay light: `--help` answers at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge import __version__
from bridge.cli import (
    captures,
    credentials,
    demo,
    devices,
    imports,
    keep,
    link,
    pure,
    reports,
    serve,
    service,
    setup,
    state,
    uploads,
    verifying,
)
from bridge.cli.workplace import Workplace, default_folder
from bridge.errors import BridgeError, Malformed, SettingsInvalid

app = typer.Typer(
    name="glucobridge",
    help="Carries diabetes data by itself: from CareLink to Nightscout and Tidepool, complete and once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_DEBUG = "GLUCOBRIDGE_DEBUG"


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _top(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="Data folder.", envvar="GLUCOBRIDGE_DATA")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show everything when something fails.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    context.obj = Workplace((data or default_folder()).expanduser())
    if debug:
        os.environ[_DEBUG] = "1"


for room in (
    setup,
    credentials,
    link,
    devices,
    imports,
    serve,
    uploads,
    state,
    verifying,
    reports,
    service,
    keep,
    captures,
    pure,
    demo,
):
    room.register(app)


def main() -> None:
    """Entry point: exit 0, or 1 to 4 with one sentence on stderr (2: input or settings do not fit)."""
    try:
        app()
    except BridgeError as error:
        if os.environ.get(_DEBUG):
            raise
        from bridge.redaction import redact_text

        print(redact_text(str(error)), file=sys.stderr)
        sys.exit(2 if isinstance(error, Malformed | SettingsInvalid) else 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
