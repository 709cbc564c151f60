"""Changes the vault's key, and moves a vault from a folder into a store that hosts share."""

from __future__ import annotations

from pathlib import Path

from bridge.contracts import CredentialStore
from bridge.credentials.key import KEY_FILE, VaultKey, find_key, write_key
from bridge.credentials.vault import Vault, forget_older, keep_older, older_keys
from bridge.errors import VaultLocked

_TURN_S = 75.0


async def open_vault(store: CredentialStore, key: VaultKey) -> Vault:
    """The vault in a store, which reads what older keys sealed."""
    return Vault(store, key, await older_keys(store, key))


async def rotate(store: CredentialStore, data: Path, old: VaultKey, new: VaultKey) -> None:
    """Change the key of the vault in `store`; `vault.key` of the folder `data` follows where it holds the old one.

    The old key is first kept under the new one (captures sealed with it stay readable), then `vault.key` is replaced,
    then every credential is encrypted anew. After a crash at any point, calling again finishes; the key in
    `vault.key`, or `new`, opens everything. Who still has the old key meanwhile cannot read what is done already.
    """
    older = (old, *await older_keys(store, old), *await older_keys(store, new))
    await keep_older(store, new, older)
    if (data / KEY_FILE).exists() and find_key(data, {}).id == old.id:
        write_key(data / KEY_FILE, new)
    await Vault(store, new, older).reencrypt()
    if old.id != new.id:
        await forget_older(store, old)


async def move(source: Vault, target: Vault) -> list[str]:
    """Bring every credential of `source` into `target`, each while nobody refreshes it; the names.

    A credential leaves `source` once it is in `target`: one grant is never in two places. Calling again after a
    crash finishes. Raises VaultLocked when both hold different ones of a name.
    """
    older = (*source.ring.keys, *target.ring.keys)
    await keep_older(target.kept_in, target.ring.current, older)
    moved = Vault(target.kept_in, target.ring.current, older)
    names = await source.names()
    for name in names:
        turn = await source.kept_in.turn(name, _TURN_S)
        try:
            await _move(name, source, moved)
        finally:
            await turn.release()
    return names


async def _move(name: str, source: Vault, target: Vault) -> None:
    entry = await source.load(name)
    if not await target.add(name, entry) and (await target.load(name)).revision != entry.revision:
        raise VaultLocked(
            f"The credential {name} is in the folder and in the store, and they differ.",
            next_step="Unlink it and link it again, then move the rest.",
        )
    await source.delete(name)
