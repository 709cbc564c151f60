"""`backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.workplace import Workplace


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(context: typer.Context, file: Annotated[Path, typer.Argument(help="Archive to write, .tar.gz.")]) -> None:
    """Save settings, vault (encrypted) and journal, also beside a running service. Never the vault's key."""
    from bridge.backup import save

    place: Workplace = context.obj
    place.settings()
    save(place.folder, file)
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
