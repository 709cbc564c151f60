"""Whose a device is, written into the settings file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
    from bridge.cli.workplace import Workplace

Since = Annotated[str | None, typer.Option(help="Day since when it is theirs (YYYY-MM-DD), if not from now on.")]


def first_day(day: str | None) -> datetime | None:
    """The begin of a day that a person named. Raises SettingsInvalid."""
    try:
        return None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError:
        raise SettingsInvalid(f"{day!r} is no day.", next_step="Say it as YYYY-MM-DD.") from None


def write_binding(
    place: Workplace, profile: str, reader: str, *, add: str = "", remove: str = "", since: datetime | None = None
) -> None:
    """Change one `devices` list of the settings file, and since when the device is this person's (without `since`
    from now, or as noted before); a file that would not fit is put back."""
    import tomlkit

    from bridge.engine.bindings import Bindings

    before = place.settings_file.read_text("utf-8")
    document = tomlkit.parse(before)
    node: Any = document
    for part in ("profiles", profile, "readers", reader):
        node = node.setdefault(part, tomlkit.table())
    kept = [str(each) for each in node.get("devices", []) if each not in {add, remove}]
    node["devices"] = [*kept, add] if add else kept
    _note_since(document["profiles"][profile], add, remove, since)
    place.settings_file.write_text(tomlkit.dumps(document), "utf-8")
    try:
        Bindings(place.settings())
    except SettingsInvalid:
        place.settings_file.write_text(before, "utf-8")
        raise


def _note_since(person: Any, add: str, remove: str, since: datetime | None) -> None:
    import tomlkit

    bound = person.setdefault("bound", tomlkit.table())
    bound.pop(remove, None)
    if add and (since is not None or add not in bound):
        bound[add] = since or datetime.now(UTC).replace(microsecond=0)
