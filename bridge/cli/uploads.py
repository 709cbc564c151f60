"""`upload` and `uploads`: get a person's data into CareLink now, and what became of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.workplace import Workplace, opened_engine, opened_journal
from bridge.errors import AlreadyRunning, SettingsInvalid

if TYPE_CHECKING:
    from bridge.contracts import UploadRecord
    from bridge.engine.uploading import Uploading

WAIT_S = 120.0
"""How long `upload` waits between its steps, all in all."""
_Profile = Annotated[str | None, typer.Option(help="Profile id or name; all when left out.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(upload)
    app.command()(uploads)


def upload(
    context: typer.Context,
    profile: _Profile = None,
    now: Annotated[
        bool, typer.Option("--now/--due", help="Whatever the schedule says, or only what it wants.")
    ] = True,
) -> None:
    """Upload now. Exit 0 once it was read back, 3 while that is open, 4 when a person is needed."""
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    settings = place.settings()
    only = place.person(profile, settings) if profile else None
    try:
        with engine_lock(place.folder, "upload"):
            code = asyncio.run(_upload(place, only, now=now, wait=True))
    except AlreadyRunning:
        code = asyncio.run(_upload(place, only, now=now, wait=False))
        print("The running service uploads; see `glucobridge uploads`.")
    raise typer.Exit(code)


async def _upload(place: Workplace, only: str | None, *, now: bool, wait: bool) -> int:
    from bridge.contracts import Trigger

    settings = place.settings()
    async with opened_engine(place, settings) as engine:
        chosen = [each.uploading for each in engine.uploadings if only in {None, each.uploading.profile}]
        if not chosen:
            raise SettingsInvalid(
                "Nobody's settings say how uploads get into CareLink.",
                next_step='Add a table such as `[profiles.NAME.upload]` with `transport = "observe"`.',
            )
        if now:
            for uploading in chosen:
                for device in uploading.devices:
                    await uploading.ask(device, Trigger.MANUAL)
        if wait:
            await asyncio.gather(*(_followed(each) for each in chosen))
        found = [newest for each in chosen for newest in await each.newest()]
        person = [told for each in chosen for told in await each.needs_person()]
    for each in found:
        print(_line(each))
    return 4 if person else 0 if all(each.is_read_back for each in found) else 3


async def _followed(uploading: Uploading) -> None:
    """Move it on until it is over, or it was waited for long enough; what the transport takes does not count."""
    left_s = WAIT_S
    while True:
        wait_s = await uploading.step()
        if left_s <= 0 or not await uploading.open():
            return
        await asyncio.sleep(wait_s)
        left_s -= wait_s


def uploads(
    context: typer.Context,
    profile: _Profile = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """The upload history: what was asked for, how it went, and what read-back found."""
    found = asyncio.run(_uploads(context.obj, profile, last))
    if as_json:
        print(json.dumps([_body(each) for each in found], indent=2))
        return
    for each in found:
        print(_line(each))
    if not found:
        print("Nothing was uploaded yet.")


async def _uploads(place: Workplace, wanted: str | None, last: int) -> Any:
    settings = place.settings()
    only = place.person(wanted, settings) if wanted else None
    async with opened_journal(place, settings, read_only=True) as journal:
        return await journal.uploads(only, limit=last)


def _body(upload: UploadRecord) -> dict[str, Any]:
    from bridge.journal.uploads import to_text

    body: dict[str, Any] = json.loads(to_text(upload))
    return body


def _line(upload: UploadRecord) -> str:
    request, found = upload.request, upload.verification
    level = f"({found.level})" if found is not None and str(upload.state) not in {"queued", "running"} else ""
    why = upload.transport.detail if upload.transport is not None else ""
    evidence = "; ".join(found.evidence) if found is not None else ""
    device = f"…{request.device.serial[-3:]}" if request.device.serial else request.device.kind
    when = f"{request.asked_at:%Y-%m-%d %H:%M}"
    return f"{when} {request.profile} {device}: {upload.state}{level} {why} {evidence}".rstrip()
