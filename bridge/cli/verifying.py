"""`verify`: what each destination, and CareLink, really holds."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.workplace import Workplace, opened_engine
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from rich.table import Table

    from bridge.contracts import Destination, Interval, TypeCheck
    from bridge.engine.engine import Engine

_AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
_Profile = Annotated[str | None, typer.Option(help="Profile id or name; all when left out.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    context: typer.Context,
    profile: _Profile = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far back.")] = 2,
    repair: Annotated[bool, typer.Option(help="Send again what is missing there.")] = False,
    as_json: _AsJson = False,
) -> None:
    """Read back what each destination holds and compare it with the ledger. Exit 3 when something is missing."""
    rows = asyncio.run(_verify(context.obj, profile, days, repair))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _show_verified([row for row in rows if "level" not in row], [row for row in rows if "level" in row])
    raise typer.Exit(3 if any(row["missing"] or row["note"] for row in rows) else 0)


def _show_verified(mirrored: list[dict[str, Any]], uploaded: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console()
    if mirrored:
        console.print(_mirrored(mirrored))
    for row in uploaded:
        console.print(_types(row) if row["types"] else _title(row))
    for row in (*mirrored, *uploaded):
        for said in filter(None, (row["note"], *row.get("evidence", ()))):
            console.print(f"  {row['profile']} {row['destination']}: {said}", highlight=False, soft_wrap=True)


def _mirrored(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("profile", "destination", "found", "missing", "not in the ledger", "of others", box=None)
    keys = ("profile", "destination", "found", "missing", "unknown", "foreign")
    for row in rows:
        table.add_row(*(str(row[key]) for key in keys))
    return table


def _types(row: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table("type", "here", "there", "missing", "gaps", box=None, title=_title(row), title_justify="left")
    for kind, check in row["types"].items():
        known = (check["found"], len(check["missing"]), len(check["gaps"])) if check["checkable"] else ("?",) * 3
        table.add_row(kind, str(check["expected"]), *map(str, known))
    return table


def _title(row: dict[str, Any]) -> str:
    return "{profile} {destination}: {level}".format(**row)


async def _verify(place: Workplace, wanted: str | None, days: int, repair: bool) -> list[dict[str, Any]]:
    from bridge.contracts import Interval
    from bridge.engine.reconcile import SETTLING

    settings = place.settings()
    only = place.person(wanted, settings) if wanted else None
    now = datetime.now(UTC)
    window = Interval(now - timedelta(days=days), now - SETTLING)
    async with opened_engine(place, settings) as engine:
        chosen = [destination for destination in engine.sinks if only in {None, destination.profile}]
        rows = [await _verified(engine, destination, window, repair) for destination in chosen]
        return rows + await _read_back(engine, only, window)


async def _read_back(engine: Engine, only: str | None, window: Interval) -> list[dict[str, Any]]:
    """What CareLink, or the upload server, has of each uploaded device."""
    from bridge.contracts import Level

    rows = []
    for each in (upload.uploading for upload in engine.uploadings if only in {None, upload.uploading.profile}):
        for device in each.devices:
            found = await each.examine(device, window)
            missing = sum(len(check.missing) for check in found.per_type.values())
            note = "" if found.level not in {Level.MISMATCH, Level.UNVERIFIED} else "Look at the evidence."
            rows.append({
                "profile": each.profile, "destination": each.where, "level": str(found.level), "missing": missing,
                "types": {kind: _checked_type(check) for kind, check in found.per_type.items()},
                "evidence": list(found.evidence), "note": note,
            })  # fmt: skip
    return rows


def _checked_type(check: TypeCheck) -> dict[str, Any]:
    from bridge.model.time import iso_ms

    return {
        "expected": check.expected, "found": check.found, "checkable": check.checkable,
        "missing": [iso_ms(moment) for moment in check.missing],
        "gaps": [[iso_ms(gap.start), iso_ms(gap.end)] for gap in check.gaps],
    }  # fmt: skip


async def _verified(engine: Engine, destination: Destination, window: Interval, repair: bool) -> dict[str, Any]:
    from bridge.contracts import Settlement
    from bridge.engine.reconcile import Difference, difference

    sink, note = engine.sinks[destination], ""
    sink.adapter.state = dict(await engine.journal.recall(destination))
    try:
        await sink.adapter.prepare()
        found = await difference(engine.journal, sink.adapter, destination, window)
    except BridgeError as error:
        found, note = Difference(0, (), (), 0), f"Could not be compared: {error}"
    if repair and found.missing:
        await engine.journal.settle(destination, Settlement(removed=[entry.key for entry in found.missing]))
        again = await engine.journal.requeue(destination, {entry.record_id for entry in found.missing})
        note = f"{again} records will be sent again."
    return {
        "profile": destination.profile, "destination": destination.name, "found": found.found,
        "missing": len(found.missing), "unknown": len(found.unknown), "foreign": found.foreign, "note": note,
    }  # fmt: skip
