"""Credentials: the encrypted vault, OAuth, and sessions that are limited to one credential and its hosts."""

from bridge.credentials.entry import Entry
from bridge.credentials.key import KEY_FILE, VaultKey, create_key, find_key, write_key
from bridge.credentials.linker import Linked, PendingAuthorisation, Walk, unlink
from bridge.credentials.rotation import move, open_vault, rotate
from bridge.credentials.sealer import VaultSealer
from bridge.credentials.session import AuthorisedSession, OpenSession, Sessions
from bridge.credentials.vault import Description, Vault
from bridge.credentials.wire import PER_HOST, http_client

__all__ = [
    "KEY_FILE", "PER_HOST", "AuthorisedSession", "Description", "Entry", "Linked", "OpenSession",
    "PendingAuthorisation", "Sessions", "Vault", "VaultKey", "VaultSealer", "Walk", "create_key", "find_key",
    "http_client", "move", "open_vault", "rotate", "unlink", "write_key",
]  # fmt: skip
