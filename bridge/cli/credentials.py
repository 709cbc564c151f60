"""`credentials`: what the vault holds; `credentials move`, `rotate-key`, `require-login`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_store, opened_vault
from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
    from bridge.contracts import CredentialStore
    from bridge.credentials import Description, VaultKey
    from bridge.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    credentials = typer.Typer(help="What the vault holds, and where.", invoke_without_command=True)
    credentials.callback()(show)
    credentials.command()(move)
    credentials.command("rotate-key")(rotate_key)
    credentials.command("require-login")(require_login)
    app.add_typer(credentials, name="credentials")


def show(context: typer.Context) -> None:
    """What the vault holds: state, age, expiry, hosts, scopes; never a secret."""
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC).timestamp()
    for held in asyncio.run(_described(context.obj, now)):
        age = "" if held.age_s is None else f", {_span(held.age_s)} old"
        expires = "" if held.expires_at is None else f", access for {_span(held.expires_at - now)}"
        print(f"{held.name}: {held.state}{age}{expires} {held.reason}".rstrip())
        print(f"  hosts:  {' '.join(held.hosts)}\n  scopes: {' '.join(held.scopes)}")


async def _described(place: Workplace, now: float) -> list[Description]:
    async with opened_vault(place, place.settings()) as vault:
        return await vault.describe(now)


def _span(seconds: float) -> str:
    if seconds < 0:
        return "over"
    return f"{seconds / 86400:.0f} d" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} h"


def move(context: typer.Context) -> None:
    """Bring the credentials of the data folder into the MongoDB that the settings name."""
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    with engine_lock(place.folder, "credentials move"):
        names = asyncio.run(moved(place))
    print(
        f"{len(names)} credentials are in MongoDB now, sealed with the vault's key. The folder holds none any more."
    )


async def moved(place: Workplace) -> list[str]:
    """Move what the folder holds; the names. The caller holds the folder's lock."""
    from bridge.credentials import Vault, find_key, open_vault
    from bridge.credentials import move as bring

    key = find_key(place.folder)
    async with opened_store(place.settings()) as store:
        await store.require_quiet()
        await store.ask_for_programs_that_share()
        return await bring(Vault(place.folder, key), await open_vault(store, key))


def rotate_key(
    context: typer.Context,
    to: Annotated[
        Path | None,
        typer.Option(help="File for the new key, where the key is not vault.key. One that is there is used."),
    ] = None,
) -> None:
    """Seal everything with a new key. Stop everything first; all hosts need the new key then."""
    from bridge.credentials import KEY_FILE, VaultKey, find_key
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    old = find_key(place.folder)
    if to is None and not _is_own(place.folder, old):
        raise SettingsInvalid(
            "The vault's key comes from outside the data folder.", next_step="Say `--to FILE` for the new one."
        )
    with engine_lock(place.folder, "credentials rotate-key"):
        new = VaultKey.fresh() if to is None else _key_in(to)
        asyncio.run(_rotated(place, old, new))
    print(f"Everything is sealed with the key in {to or place.folder / KEY_FILE}. Keep a copy of it elsewhere.")
    print("Hand it to every host before it starts again. Keep the old key as long as backups made with it.")


def require_login(context: typer.Context) -> None:
    """After a database was restored: put every rotating login to sleep until its person signs in again."""
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    with engine_lock(place.folder, "credentials require-login"):
        names = asyncio.run(_asleep(place))
    for name in names:
        print(f"{name} needs a new login: `glucobridge link`.")


async def _asleep(place: Workplace) -> list[str]:
    from bridge.credentials import find_key, open_vault

    async with _store(place, place.settings()) as store:
        vault = await open_vault(store, find_key(place.folder))
        reason = "restored from a backup; the login may have been renewed since."
        return await vault.mark_login_required_all(reason, datetime.now(UTC).timestamp())


def _is_own(folder: Path, key: VaultKey) -> bool:
    """Whether the key is the one in `vault.key`, which alone can be replaced from here."""
    from bridge.credentials import KEY_FILE, find_key

    return (folder / KEY_FILE).exists() and find_key(folder, {}).id == key.id


def _key_in(file: Path) -> VaultKey:
    """The key in a file, which is made with a new one where there is none: written before anything is sealed."""
    from bridge.credentials import VaultKey, write_key

    if file.exists():
        return VaultKey.from_text(file.read_text("ascii"), str(file))
    key = VaultKey.fresh()
    write_key(file, key)
    return key


async def _rotated(place: Workplace, old: VaultKey, new: VaultKey) -> None:
    from bridge.credentials import rotate

    async with _store(place, place.settings()) as store:
        await rotate(store, place.folder, old, new)


@asynccontextmanager
async def _store(place: Workplace, settings: Settings) -> AsyncIterator[CredentialStore]:
    if settings.journal.uri is None:
        async with opened_vault(place, settings) as vault:
            yield vault.kept_in
        return
    async with opened_store(settings) as shared:
        await shared.require_quiet()
        yield shared
