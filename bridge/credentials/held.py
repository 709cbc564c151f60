"""A credential that is being linked: memory only, gone when linking fails."""

from __future__ import annotations

from bridge.contracts import Clock, OAuthToken
from bridge.credentials.entry import Entry
from bridge.credentials.keeper import moved
from bridge.credentials.oauth import OAuthClient
from bridge.credentials.wire import NoAnswer
from bridge.errors import Refused, Unauthorised
from bridge.redaction import hide


class Held:
    """Holds an entry that is not in the vault yet. Raises Refused for a token no header could carry."""

    def __init__(self, entry: Entry, provider: OAuthClient, clock: Clock) -> None:
        for secret in entry.secrets:
            hide(secret)
        if any(not text.isascii() or not text.isprintable() or " " in text for text in entry.secrets):
            raise Refused("That token has blanks or other signs no token has.", next_step="Copy it again, whole.")
        self.entry, self._provider, self._clock = entry, provider, clock

    async def current(self) -> Entry:
        """The credential as it is."""
        return self.entry

    async def usable(self) -> Entry:
        """The credential, refreshed where a person took long to answer."""
        if self.entry.due(self._clock.now().timestamp()):
            await self.renew(None)
        return self.entry

    async def renew(self, spent: str | None, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh in memory unless `spent` has been replaced already."""
        token = moved(self.entry, client_id, token_url)
        if spent is not None and spent != token.access_token:
            return
        if token.refresh_token is None:
            raise Unauthorised("The session is over.", next_step="Begin again.")
        outcome = await self._provider.refresh(token)
        if isinstance(outcome, OAuthToken):
            self.entry = self.entry.renewed(outcome)
            return
        raise outcome.error if isinstance(outcome, NoAnswer) else outcome
