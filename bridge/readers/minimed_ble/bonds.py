"""What this machine and the pump know each other by: kept in one file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from bumble.hci import Address
from bumble.keys import KeyStore, PairingKeys

from bridge.errors import SettingsInvalid

_IRK_BYTES = 16


class Bonds(KeyStore):
    """Bonds by the address of the other side, and the identity under which this machine comes back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = self._loaded()

    def __repr__(self) -> str:
        return f"Bonds({len(self._kept['bonds'])})"

    @property
    def irk(self) -> bytes:
        """The key of this machine's changing addresses."""
        return bytes.fromhex(self._kept["irk"])

    @property
    def address(self) -> str:
        """The address that stands behind them."""
        return str(self._kept["address"])

    @property
    def any(self) -> bool:
        """Whether a pump knows this machine."""
        return bool(self._kept["bonds"])

    async def get(self, name: str) -> PairingKeys | None:
        """As KeyStore. The pump begins a link with the key that this machine gave it, being the peripheral; the stack
        looks for that under the other name."""
        found = self._kept["bonds"].get(name)
        if found is None:
            return None
        keys = PairingKeys.from_dict(found)
        keys.ltk_peripheral = keys.ltk_central
        return keys

    async def get_all(self) -> list[tuple[str, PairingKeys]]:
        """As KeyStore."""
        return [(name, PairingKeys.from_dict(keys)) for name, keys in self._kept["bonds"].items()]

    async def update(self, name: str, keys: PairingKeys) -> None:
        """As KeyStore; only one pump is held."""
        self._kept["bonds"] = {name: keys.to_dict()}
        self._save()

    async def delete(self, name: str) -> None:
        """As KeyStore."""
        if self._kept["bonds"].pop(name, None) is not None:
            self._save()

    def _loaded(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            bytes.fromhex(kept["irk"]), Address(kept["address"]), dict(kept["bonds"])
        except FileNotFoundError:
            return self._fresh()
        except (OSError, ValueError, KeyError, TypeError):
            raise SettingsInvalid(
                "The file with the pump's bond cannot be read.",
                next_step="Delete it and pair with the pump again.",
            ) from None
        return dict(kept)

    def _fresh(self) -> dict[str, Any]:
        address = Address.generate_static_address().to_string(with_type_qualifier=False)
        return {"irk": secrets.token_hex(_IRK_BYTES), "address": address, "bonds": {}}

    def _save(self) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._kept, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
