"""`backup`, `restore`, `journal migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_mongo

if TYPE_CHECKING:
    from bridge.journal.migrate import Migrated


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)
    journal = typer.Typer(help="The journal.", no_args_is_help=True)
    journal.command("migrate")(migrate)
    app.add_typer(journal, name="journal")


def backup(context: typer.Context, file: Annotated[Path, typer.Argument(help="Archive to write, .tar.gz.")]) -> None:
    """Save settings, vault (encrypted) and journal, also beside a running service. Never the vault's key."""
    from bridge.backup import save

    place: Workplace = context.obj
    settings = place.settings()
    save(place.folder, file)
    if settings.journal.uri is not None:
        print("Journal and credentials are in MongoDB, not in this file: save them with the database's own tools.")
    print(f"Saved to {file}. It does not hold vault.key: keep that elsewhere.")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Archive made by `backup`.")],
    nothing_ran_since: Annotated[
        bool, typer.Option("--nothing-ran-since", help="No bridge ran after the backup: logins are still good.")
    ] = False,
) -> None:
    """Bring a backup into an empty data folder. Logins must be renewed unless nothing ran since."""
    from bridge.backup import load
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with engine_lock(place.folder, "restore"):
        renewed = load(file, place.folder, keep_grants=nothing_ran_since)
    print(f"Restored into {place.folder}.")
    for name in renewed:
        print(f"{name} needs a new login: `glucobridge link`.")


def migrate(context: typer.Context) -> None:
    """Copy the journal file into the MongoDB that the settings name, and compare both by digest."""
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    with engine_lock(place.folder, "journal migrate"):
        done, names = asyncio.run(_migrate(place))
    for name, count in done.counts.items():
        print(f"{name}: {count}")
    print(f"Both sides have the digest {done.digest}. {len(names)} credentials moved with it, sealed as before.")
    print(f"{place.journal_file.name} is kept; the service uses MongoDB now.")


async def _migrate(place: Workplace) -> tuple[Migrated, list[str]]:
    """Journal first, then credentials: cut off in between, the service refuses to start until this is run again."""
    from bridge.cli.credentials import moved
    from bridge.credentials import Vault, VaultSealer, find_key
    from bridge.engine.clock import SystemClock
    from bridge.journal import open_journal
    from bridge.journal.migrate import migrate as copy

    vault = Vault(place.folder, find_key(place.folder))
    async with opened_mongo(place.settings(), vault) as target:
        source = await open_journal(place.journal_file, clock=SystemClock(), sealer=VaultSealer(vault))
        try:
            done = await copy(source, target)
        finally:
            await source.close()
    return done, await moved(place)
