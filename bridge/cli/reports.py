"""`review` and `export`: what came in lately, and records handed over."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO
from zoneinfo import ZoneInfo

import typer

from bridge.cli.workplace import Workplace, opened_journal
from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
    from bridge.contracts import Interval, Journal, UploadRecord
    from bridge.model import Record
    from bridge.reports import Known, Review
    from bridge.settings import Settings

_Profile = Annotated[str | None, typer.Option(help="Whose: profile id or name.")]
BEFORE = timedelta(days=30)
"""What is usual is learnt from so much time before the window."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(review)
    app.command()(export)


# --- review ----------------------------------------------------------------------------------------


def review(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far back.")] = 7,
    profile: _Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What came in and was uploaded, by device and type, and what looks unfamiliar. Exit 3 when something does."""
    place: Workplace = context.obj
    settings = place.settings()
    chosen = [place.person(profile, settings)] if profile else list(settings.profiles)
    found = asyncio.run(_reviews(place, settings, chosen, days))
    if as_json:
        print(json.dumps({name: _body(each, uploads) for name, (each, uploads) in found.items()}, indent=2))
    else:
        for name, (each, uploads) in found.items():
            _show(name, each, uploads)
    raise typer.Exit(3 if any(each.flags for each, _ in found.values()) else 0)


_Reviews = dict[str, tuple["Review", list["UploadRecord"]]]


async def _reviews(place: Workplace, settings: Settings, chosen: list[str], days: int) -> _Reviews:
    from bridge.contracts import Interval

    now = datetime.now(UTC)
    window = Interval(now - timedelta(days=days), now + timedelta(days=1))
    async with opened_journal(place, settings, read_only=True) as journal:
        serials = {name: await _serials(journal, name, window) for name in settings.profiles}
        return {
            name: (
                await _review(journal, name, window, _known(settings, name, serials)),
                [each for each in await journal.uploads(name) if each.request.asked_at >= window.start],
            )
            for name in chosen
        }


async def _review(journal: Journal, profile: str, window: Interval, known: Known) -> Review:
    from bridge.contracts import Interval
    from bridge.reports import review as reviewed

    earlier = await _records(journal, profile, Interval(window.start - BEFORE, window.start))
    return reviewed(earlier, await _records(journal, profile, window), known)


async def _records(journal: Journal, profile: str, window: Interval) -> list[Record]:
    return [record async for record in journal.records(profile, window)]


async def _serials(journal: Journal, profile: str, window: Interval) -> frozenset[str]:
    return frozenset([r.device.serial async for r in journal.records(profile, window) if r.device.serial])


def _known(settings: Settings, profile: str, serials: dict[str, frozenset[str]]) -> Known:
    from bridge.engine.bindings import Bindings
    from bridge.reports import Known

    bindings = Bindings(settings)
    own = {each.serial: each.since for each in bindings.all if each.profile == profile}
    seen_there = frozenset[str]().union(*(found for name, found in serials.items() if name != profile))
    return Known(own, bindings.of_others(profile) | seen_there)


def _body(found: Review, uploads: list[UploadRecord]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(asdict(found), default=_text))
    return body | {
        "uploads": [{"asked_at": _text(each.request.asked_at), "state": str(each.state)} for each in uploads]
    }


def _text(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _show(name: str, found: Review, uploads: list[UploadRecord]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("device", "type", "records", "first", "last", box=None, title=name, title_justify="left")
    for row in found.rows:
        serial = f" …{row.device.serial[-3:]}" if row.device.serial else ""
        when = (f"{moment:%Y-%m-%d %H:%M}" for moment in (row.first, row.last))
        table.add_row(f"{row.device.model or '-'}{serial}", row.kind, str(row.count), *when)
    console.print(table if found.rows else f"{name}: nothing came in.")
    for each in uploads[:5]:
        console.print(f"  uploaded {each.request.asked_at:%Y-%m-%d %H:%M}: {each.state}", highlight=False)
    for flag in found.flags:
        span = f"{flag.first:%Y-%m-%d %H:%M} to {flag.last:%Y-%m-%d %H:%M} UTC"
        console.print(f"! {flag.text} {flag.count} records, {span}. {flag.next_step}", highlight=False)
    if found.rows and not found.flags:
        console.print("Nothing looks unfamiliar.")


# --- export ----------------------------------------------------------------------------------------


def export(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD, as the person lived it.")],
    last: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")],
    profile: _Profile = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the two files go.")] = Path(),
    unit: Annotated[str, typer.Option(help="Glucose in the table: mg/dL or mmol/L.")] = "mg/dL",
) -> None:
    """Write a person's records as JSON lines and as a table, to hand over without any password."""
    place: Workplace = context.obj
    settings = place.settings()
    person = place.person(profile, settings)
    zone = ZoneInfo(settings.profiles[person].timezone or "UTC")
    if unit not in {"mg/dL", "mmol/L"}:
        raise SettingsInvalid(f"{unit!r} is no unit of glucose.", next_step="Say mg/dL or mmol/L.")
    days = (_day(first), _day(last))
    if days[1] < days[0]:
        raise SettingsInvalid("The last day is before the first.", next_step="Say --from and --to the other way.")
    paths = [folder / f"{person}-{days[0]}-{days[1]}{suffix}" for suffix in (".ndjson", ".csv")]
    count = asyncio.run(_export(place, settings, person, zone, unit, days, paths))
    print(f"{count} records in {paths[0]} and {paths[1]}. Whoever has these files can read them.")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsInvalid(f"{text!r} is no day.", next_step="Say it as YYYY-MM-DD.") from None


async def _export(
    place: Workplace, settings: Settings, person: str, zone: ZoneInfo, unit: Any, days: tuple[date, date],
    paths: list[Path],
) -> int:  # fmt: skip
    from bridge.contracts import Interval
    from bridge.reports import COLUMNS, line, row

    start, end = (
        datetime.combine(day, time(), zone).astimezone(UTC) for day in (days[0], days[1] + timedelta(days=1))
    )
    count = 0
    with ExitStack() as stack:
        lines, table = (stack.enter_context(_private(path)) for path in paths)
        cells = csv.writer(table)
        cells.writerow(COLUMNS)
        async with opened_journal(place, settings, read_only=True) as journal:
            async for record in journal.records(person, Interval(start, end)):
                lines.write(line(record) + "\n")
                cells.writerow(row(record, zone, unit))
                count += 1
    return count


def _private(path: Path) -> TextIO:
    """A new file that only its owner may read; a table with the mark by which spreadsheets know UTF-8."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be written: {error.strerror}.", next_step="Say --out FOLDER.") from None
    return os.fdopen(number, "w", encoding="utf-8-sig" if path.suffix == ".csv" else "utf-8", newline="")
