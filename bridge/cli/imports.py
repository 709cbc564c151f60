"""`import`: CareLink's own export files, years of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_journal
from bridge.errors import Malformed

if TYPE_CHECKING:
    from bridge.engine.importing import Imported, Importer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_files)


def import_files(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CSV files exported from CareLink.")],
    profile: Annotated[str | None, typer.Option(help="Whose they are: profile id or name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is in them.")] = False,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of the pump's clock; else the profile's.")] = None,
    date_order: Annotated[str | None, typer.Option(help="mdy, dmy or ymd, where a file leaves it open.")] = None,
    unit: Annotated[str | None, typer.Option(help="mg/dL or mmol/L, where a file leaves it open.")] = None,
) -> None:
    """Bring exports in and mirror them. Importing twice changes nothing. Exit 2 when a file could not be read."""
    said = {"timezone": timezone, "date_order": date_order, "unit": unit}
    good = asyncio.run(_import(context.obj, files, profile, {k: v for k, v in said.items() if v}, dry_run))
    raise typer.Exit(0 if good else 2)


async def _import(
    place: Workplace, files: list[Path], wanted: str | None, said: dict[str, str], dry_run: bool
) -> bool:
    from random import Random

    from rich.progress import Progress

    from bridge.contracts import Setup
    from bridge.engine.bindings import Bindings
    from bridge.engine.clock import SystemClock
    from bridge.engine.importing import Importer
    from bridge.engine.registry import file_reader

    settings = place.settings()
    profile = place.person(wanted, settings)
    zone = settings.profiles[profile].timezone
    context = {**({"timezone": zone} if zone else {}), **said}
    reader = file_reader(Setup(profile, {}, SystemClock(), Random(0), timezone=zone))  # noqa: S311
    elsewhere = Bindings(settings).of_others(profile)
    async with opened_journal(place, settings) as journal:
        importer = Importer(journal, reader, profile, SystemClock(), elsewhere)
        with Progress(transient=True) as bar:
            shown = bar.track(files, description="importing")
            told = [await _one(importer, file, context, dry_run) for file in shown]
    for _, line in told:
        print(line)
    return all(good for good, _ in told)


async def _one(importer: Importer, file: Path, context: dict[str, str], dry_run: bool) -> tuple[bool, str]:
    from bridge.cli.pure import bytes_of

    try:
        return True, _told(file, await importer.take(bytes_of(file), context, dry=dry_run))
    except Malformed as error:
        return False, f"{file.name}: {error}"


def _told(file: Path, done: Imported) -> str:
    held = done.contents
    kinds = ", ".join(f"{count} {kind}" for kind, count in held.kinds.items()) or "nothing"
    lines = [f"{file.name}: {held.first} to {held.last}, {held.days} days: {kinds}."]
    if done.added is not None:
        added = done.added
        lines.append(f"  {added.new} new, {added.revised} better known now, {added.known} known already.")
    lines += [f"  {each.code}: {each.text}" for each in done.diagnostics[:20]]
    if len(done.diagnostics) > 20:
        lines.append(f"  and {len(done.diagnostics) - 20} more.")
    return "\n".join(lines)
