"""`capture` and `replay`: the raw bytes of a read, for a bug report and back."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_journal
from bridge.errors import Malformed, SettingsInvalid

if TYPE_CHECKING:
    from bridge.model import Capture


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(capture)
    app.command()(replay)


def capture(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write, .json.")],
    reader: Annotated[str | None, typer.Option(help="Which reader's; the newest of all when left out.")] = None,
    profile: Annotated[str | None, typer.Option(help="Whose: profile id or name.")] = None,
    number: Annotated[int, typer.Option(min=1, help="1 is the newest, 2 the one before.")] = 1,
) -> None:
    """Save a read for a bug report: serials, names and keys are replaced, the readings are not."""
    from bridge.engine.captures import redacted
    from bridge.model.capture_file import to_file

    found = asyncio.run(_kept(context.obj, reader, profile, number))
    file.write_bytes(to_file(redacted(found)))
    file.chmod(0o600)
    print(f"Saved the read of {found.reader} at {found.taken_at:%Y-%m-%d %H:%M} UTC to {file}.")
    print("Serials, names and keys are replaced. It still holds readings and times: look before you pass it on.")


async def _kept(place: Workplace, reader: str | None, profile: str | None, number: int) -> Capture:
    settings = place.settings()
    async with opened_journal(place, settings, read_only=True) as journal:
        kept = await journal.captures(place.person(profile, settings), reader)
    if len(kept) < number:
        raise SettingsInvalid(f"There are only {len(kept)} captures.", next_step="Read first: `glucobridge sync`.")
    return kept[number - 1]


def replay(
    file: Annotated[Path, typer.Argument(help="File made by `capture`.")],
    profile: Annotated[str, typer.Option(help="Profile id the records get.")] = "default",
) -> None:
    """Decode a saved read again: records as JSON lines, what was not understood on stderr."""
    from bridge.cli.pure import bytes_of, show
    from bridge.contracts import Memory
    from bridge.engine.captures import decoder
    from bridge.model.capture_file import from_file

    try:
        found = from_file(bytes_of(file), profile)
    except ValueError as error:
        raise Malformed(f"{file} cannot be replayed: {error}.") from None
    if found is None:
        raise Malformed(f"{file} is no capture file.", next_step="For a payload or page say `glucobridge decode`.")
    print(f"A read of {found.reader}, {found.taken_at:%Y-%m-%d %H:%M} UTC.", file=sys.stderr)
    show(decoder(found).decode(found, Memory()))
