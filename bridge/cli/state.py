"""`status`, `quarantine`, `doctor`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.workplace import Workplace, opened_journal, opened_sessions
from bridge.errors import BridgeError, SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.contracts import (
        Destination,
        DestinationStatus,
        Journal,
        ReaderStatus,
        UploadRecord,
    )
    from bridge.settings import Settings

_AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
_Profile = Annotated[str | None, typer.Option(help="Profile id or name; all when left out.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(doctor)
    quarantine = typer.Typer(help="Records a destination refused.", no_args_is_help=True)
    quarantine.command("list")(quarantine_list)
    quarantine.command("retry")(quarantine_retry)
    quarantine.command("drop")(quarantine_drop)
    app.add_typer(quarantine, name="quarantine")


def status(context: typer.Context, as_json: _AsJson = False) -> None:
    """Per profile, reader and destination: state, last record, pending, quarantined, gaps."""
    body = asyncio.run(_status(context.obj))
    if as_json:
        print(json.dumps(body, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    rows = [*body["readers"], *body["destinations"], *body["uploads"]]
    names = {profile: person.name or profile for profile, person in context.obj.settings().profiles.items()}
    table = Table("person", "what", "state", "newest", "pending", "quarantined", box=None)
    for row in rows:
        held = (str(row.get(name, "")) for name in ("pending", "quarantined"))
        table.add_row(
            names.get(row["profile"], row["profile"]), row["name"], row["state"], _ago(row["last_record"]), *held
        )
    console = Console()
    console.print(table)
    for row in rows:
        notes = [row["text"], *(f"nothing is here of {gap}" for gap in row.get("gaps", []))]
        for note in filter(None, notes):
            console.print(
                f"  {names.get(row['profile'], row['profile'])} {row['name']}: {note}",
                highlight=False,
                soft_wrap=True,
            )


def _ago(instant: str | None) -> str:
    """How long ago, for a person."""
    if instant is None:
        return "-"
    minutes = (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds() / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"


async def _status(place: Workplace) -> dict[str, Any]:
    settings = place.settings()
    if settings.journal.uri is None and not place.journal_file.exists():
        return {"readers": [], "destinations": [], "uploads": []}
    async with opened_journal(place, settings, read_only=True) as journal:
        readers, destinations = await journal.readers(), await journal.destinations()
        uploads = [row for name in settings.profiles for row in _uploads(settings, name, await journal.uploads(name))]
    return {
        "readers": [_reader(r) for r in readers], "destinations": [_destination(d) for d in destinations],
        "uploads": uploads,
    }  # fmt: skip


def _uploads(settings: Settings, profile: str, known: Sequence[UploadRecord]) -> list[dict[str, Any]]:
    """The newest upload of each device, and how often the schedule asks."""
    from bridge.engine.ways import pace
    from bridge.model.time import iso_ms

    table = settings.profiles[profile].upload
    if table is None or not table.enabled:
        return []
    newest = {each.request.device.serial: each for each in reversed(known)}
    return [
        {
            "profile": profile, "name": f"upload …{serial[-3:]}" if serial else "upload", "state": str(each.state),
            "text": f"{table.transport}, {pace(table)}", "last_record": iso_ms(each.request.asked_at),
            "level": str(each.verification.level) if each.verification else None,
        }
        for serial, each in newest.items()
    ]  # fmt: skip


def _reader(status: ReaderStatus) -> dict[str, Any]:
    from bridge.model.time import iso_ms

    return {
        "profile": status.profile,
        "name": status.reader,
        "state": str(status.health.state),
        "text": status.health.text,
        "last_record": iso_ms(status.last_record) if status.last_record else None,
        "last_read": iso_ms(status.last_read) if status.last_read else None,
        "next_due": iso_ms(status.next_due) if status.next_due else None,
        "gaps": [f"{iso_ms(gap.start)} to {iso_ms(gap.end)}" for gap in status.gaps],
    }


def _destination(status: DestinationStatus) -> dict[str, Any]:
    from bridge.contracts import DeliveryState
    from bridge.model.time import iso_ms

    counts = {str(state): status.counts.get(state, 0) for state in DeliveryState}
    return {
        "profile": status.destination.profile,
        "name": status.destination.name,
        "state": str(status.health.state),
        "text": status.health.text,
        "last_record": iso_ms(status.last_accepted) if status.last_accepted else None,
        "pending": counts["pending"] + counts["leased"] + counts["withheld"],
        "quarantined": counts["quarantined"],
        "oldest_pending": iso_ms(status.oldest_pending) if status.oldest_pending else None,
        "counts": counts,
    }


def quarantine_list(context: typer.Context, profile: _Profile = None, as_json: _AsJson = False) -> None:
    """What is in quarantine, and why."""
    rows = asyncio.run(_quarantine(context.obj, profile))
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("{record} {profile} {destination} {kind} {time}: {reason}".format(**row))
    if not rows:
        print("Nothing is in quarantine.")


async def _quarantine(place: Workplace, wanted: str | None) -> list[dict[str, Any]]:
    from bridge.model.time import iso_ms

    settings = place.settings()
    only = place.person(wanted, settings) if wanted else None
    async with opened_journal(place, settings, read_only=True) as journal:
        return [
            {
                "record": held.record.id, "profile": held.destination.profile, "destination": held.destination.name,
                "kind": held.record.kind, "time": iso_ms(held.record.time), "reason": held.reason,
            }
            for held in await journal.quarantine(only)
        ]  # fmt: skip


_Records = Annotated[list[str] | None, typer.Argument(help="Record ids; all when left out.")]


def quarantine_retry(context: typer.Context, records: _Records = None, profile: _Profile = None) -> None:
    """Send quarantined records again."""
    count = asyncio.run(_each(context.obj, profile, records, retry=True))
    print(f"{count} records will be sent again.")


def quarantine_drop(context: typer.Context, records: _Records = None, profile: _Profile = None) -> None:
    """Give quarantined records up at that destination; they stay in the journal."""
    count = asyncio.run(_each(context.obj, profile, records, retry=False))
    print(f"{count} records given up.")


async def _each(place: Workplace, wanted: str | None, records: list[str] | None, *, retry: bool) -> int:
    settings = place.settings()
    only = place.person(wanted, settings) if wanted else None
    async with opened_journal(place, settings) as journal:
        chosen = [h for h in await journal.quarantine(only) if not records or h.record.id in records]
        if records and not chosen:
            raise SettingsInvalid("None of these is in quarantine.", next_step="See `glucobridge quarantine list`.")
        return sum([await _one(journal, held.destination, held.record.id, retry=retry) for held in chosen])


async def _one(journal: Journal, destination: Destination, record: str, *, retry: bool) -> int:
    return await (journal.requeue if retry else journal.drop)(destination, [record])


def doctor(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="`usb` for plugged-in devices only, `ble` for Bluetooth.")] = "all",
) -> None:
    """Try everything a person may have to mend, and say what to do. Exit 1 when something is wrong."""
    from bridge.cli.bluetooth import ble_problems
    from bridge.cli.devices import usb_problems

    doctors = {"all": _doctor, "usb": usb_problems, "ble": ble_problems}
    if what not in doctors:
        raise SettingsInvalid(
            f"There is no doctor for {what!r}.", next_step="Say `doctor`, `doctor usb` or `doctor ble`."
        )
    problems = asyncio.run(doctors[what](context.obj))
    for problem in problems:
        print(f"- {problem}")
    if not problems:
        print("Everything answers.")
    raise typer.Exit(1 if problems else 0)


async def _doctor(place: Workplace) -> list[str]:
    settings = place.settings()
    problems = []
    async with opened_sessions(place, settings) as sessions:
        for profile, person in settings.profiles.items():
            for group in ("readers", "destinations"):
                tables = getattr(person, group)
                if not tables:
                    problems.append(f"{profile} has no {group}: run `glucobridge link`.")
                for name, table in tables.items():
                    if problem := await _checked(group, name, table, sessions):
                        problems.append(f"{profile} {name}: {problem}")
    return problems


async def _checked(group: str, name: str, table: Any, sessions: Any) -> str:
    from bridge.engine.registry import adapter_class, reader_class
    from bridge.model.health import State

    plugin = (reader_class if group == "readers" else adapter_class)(table.plugin or name)
    if plugin.linking is None:
        return ""
    if table.credential is None:
        return f"not linked. Run `glucobridge link {name}`."
    try:
        health = await plugin.linking.check(sessions.authorised(table.credential), table.own)
    except BridgeError as error:
        return str(error)
    return "" if health.state is State.OK else f"{health.state}: {health.text}"
