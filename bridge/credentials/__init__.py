"""Credentials: the encrypted vault, OAuth, and sessions that are limited to one credential and its hosts."""

from bridge.credentials.entry import Entry
from bridge.credentials.key import VaultKey, create_key, find_key
from bridge.credentials.linker import Linked, PendingAuthorisation, Walk, unlink
from bridge.credentials.sealer import VaultSealer
from bridge.credentials.session import AuthorisedSession, OpenSession, Sessions
from bridge.credentials.vault import Description, Vault, rotate
from bridge.credentials.wire import http_client

__all__ = [
    "AuthorisedSession", "Description", "Entry", "Linked", "OpenSession", "PendingAuthorisation", "Sessions",
    "Vault", "VaultKey", "VaultSealer", "Walk", "create_key", "find_key", "http_client", "rotate", "unlink",
]  # fmt: skip
