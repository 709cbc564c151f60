"""Backup of a data folder: settings, encrypted vault and journal in one archive, never the vault's key."""

from __future__ import annotations

import asyncio
import io
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bridge.errors import SettingsInvalid
from bridge.settings import FILE_NAME

JOURNAL = "journal.db"
_VAULT = "vault"


def save(folder: Path, target: Path) -> None:
    """Write the archive, mode 0600. The journal is copied consistently while an engine may be writing."""
    from bridge.journal import backup_journal

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / JOURNAL
        if (folder / JOURNAL).exists():
            backup_journal(folder / JOURNAL, copy)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(folder / FILE_NAME, FILE_NAME)
            if copy.exists():
                archive.add(copy, JOURNAL)
            for entry in sorted(path for path in (folder / _VAULT).glob("*") if _kept(path.name)):
                archive.add(entry, f"{_VAULT}/{entry.name}")
    target.touch(mode=0o600)
    target.write_bytes(buffer.getvalue())


def load(source: Path, folder: Path, *, keep_grants: bool) -> list[str]:
    """Unpack into an empty data folder; names of the grants that now need a new login.

    Raises SettingsInvalid for a folder in use or an archive that is not ours, VaultLocked without the key.
    """
    if (folder / FILE_NAME).exists() or (folder / JOURNAL).exists():
        raise SettingsInvalid(f"{folder} is not empty.", next_step="Restore into a fresh data folder (--data).")
    try:
        with tarfile.open(source, mode="r:gz") as archive:
            members = [member for member in archive.getmembers() if _ours(member)]
            if FILE_NAME not in {member.name for member in members}:
                raise SettingsInvalid(f"{source} is not a backup of this program.")
            archive.extractall(folder, members, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise SettingsInvalid(f"{source} cannot be read as a backup: {error}.") from None
    return [] if keep_grants else _sleeping(folder)


def _kept(name: str) -> bool:
    """Credentials, and the older keys that captures were sealed with; all encrypted with the vault's key."""
    return name.endswith(".enc") or name.startswith(".older-keys.")


def _ours(member: tarfile.TarInfo) -> bool:
    parts = Path(member.name).parts
    inside = len(parts) == 2 and parts[0] == _VAULT and _kept(parts[1])
    return member.isfile() and (member.name in {FILE_NAME, JOURNAL} or inside)


def _sleeping(folder: Path) -> list[str]:
    from bridge.credentials import Vault, find_key

    if not (folder / _VAULT).is_dir():
        return []
    vault = Vault(folder, find_key(folder))
    reason = "restored from a backup; the login may have been renewed since."
    return asyncio.run(vault.mark_login_required_all(reason, datetime.now(UTC).timestamp()))
