"""Keeps one credential of the vault usable: the refresh rules.

A rotating refresh token is dead the moment its successor is issued, and presenting it again kills the whole
family. Hence: one refresher at a time, across coroutines and processes; the successor is in the vault before
it is used; no outage ever destroys a token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random

import structlog

from bridge.contracts import Clock, OAuthToken, Turn
from bridge.credentials.entry import Entry, not_linked
from bridge.credentials.hosts import host_of, parse, require_listed
from bridge.credentials.oauth import OAuthClient
from bridge.credentials.vault import Vault
from bridge.credentials.wire import NoAnswer
from bridge.errors import BridgeError, Moved, NotAllowed, Refused, Throttled, Transient, Unauthorised, VaultLocked
from bridge.model.health import Health, State

_TURN_DEADLINE_S = 75.0
"""Longer than one holder can need: two requests of 20 s and the pause between them."""
_AGAIN_S = (2.0, 5.0)
_QUIET_S = 30.0
"""While the old token still works, a failed refresh is not tried again before this is over."""
_THROTTLED_S = 60.0

_log = structlog.get_logger(__name__)


class Keeper:
    """The only one in this process who refreshes credential `name`."""

    def __init__(self, name: str, vault: Vault, provider: OAuthClient, clock: Clock, random: Random) -> None:
        self.name = name
        self._vault, self._provider, self._clock, self._random = vault, provider, clock, random
        self._own = asyncio.Lock()
        self._turn: Turn | None = None
        self._tasks: set[asyncio.Task[Entry]] = set()
        self._cached: tuple[str, Entry] | None = None
        self._unsaved: Entry | None = None
        self._after: set[str] = set()
        self._quiet: tuple[float, Transient | Refused] | None = None

    async def current(self) -> Entry:
        """The newest state of the credential: what could not be saved yet, else what the vault holds.

        Raises Unauthorised (`not_linked`) when it was deleted, here or by another process.
        """
        await self._save_between()
        return self._unsaved or await self._stored()

    async def usable(self) -> Entry:
        """The credential, refreshed before it runs out. Raises Unauthorised when only a person can help, and
        Transient, Throttled or Moved when it has run out and cannot be refreshed now."""
        entry = await self.current()
        entry.require_usable(self.name)
        now = self._clock.now().timestamp()
        if not entry.due(now):
            return entry
        try:
            self._respect_quiet(throttled_only=entry.expired(now))
            return await self._shielded(lambda found: found.due(self._clock.now().timestamp()))
        except (Transient, Refused) as error:
            if entry.expired(self._clock.now().timestamp()):
                raise
            _log.info("refresh_postponed", credential=self.name, reason=error.message)
            return await self.current()

    async def renew(self, spent: str | None, client_id: str | None = None, token_url: str | None = None) -> None:
        """Refresh unless `spent`, the access token that was refused, has been replaced already."""
        (await self.current()).require_usable(self.name)
        self._respect_quiet(throttled_only=True)

        def wanted(entry: Entry) -> bool:
            held = entry.credential
            return not isinstance(held, OAuthToken) or spent is None or held.access_token == spent

        await self._shielded(wanted, client_id, token_url)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Entry]:
        """The newest state, while nobody else refreshes it. Raises Transient after a deadline."""
        async with self._own:
            if self._turn is None:
                self._turn = await self._vault.kept_in.turn(self.name, _TURN_DEADLINE_S)
            try:
                await self._save_again()
                yield self._unsaved or await self._vault.load(self.name)
            finally:
                await self._release()

    async def settle(self) -> None:
        """Let running refreshes end (they have deadlines) and try once more to save; for the shutdown."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        with contextlib.suppress(Unauthorised):
            await self._save_between()

    async def health(self) -> Health:
        """What a person must know: a token that is not saved, a sign-in that is needed."""
        try:
            entry = await self.current()
            entry.require_usable(self.name)
        except BridgeError as error:
            return Health(State(error.state), str(error))
        if self._unsaved is None:
            return Health()
        return Health(
            State.VAULT_LOCKED,
            f"The newest token of {self.name} is in memory only, the vault cannot be written. "
            "Mend the disk before stopping the program, or a new sign-in will be needed.",
        )

    async def _shielded(
        self, wanted: Callable[[Entry], bool], client_id: str | None = None, token_url: str | None = None
    ) -> Entry:
        """Refresh in a task of its own: a caller that gives up must not lose the answer on its way."""
        task = asyncio.create_task(self._refresh(wanted, client_id, token_url))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Entry]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _refresh(self, wanted: Callable[[Entry], bool], client_id: str | None, token_url: str | None) -> Entry:
        async with self.alone() as entry:
            entry.require_usable(self.name)
            if not wanted(entry):
                return entry
            asked = moved(entry, client_id, token_url)
            outcome = await self._ask_provider(asked)
            if isinstance(outcome, OAuthToken):
                self._quiet = None
                return await self._keep(entry.renewed(outcome), entry)
            raise await self._failed(entry, outcome, discovered=bool(client_id or token_url))

    async def _ask_provider(self, token: OAuthToken) -> OAuthToken | BridgeError:
        """The next token. When it is not known whether the provider used the token up, the same is shown once
        more shortly after: providers forgive that for some seconds."""
        if token.refresh_token is None:
            return Unauthorised(
                "The session is over and the provider gave nothing to renew it with.", next_step="Link again."
            )
        outcome = await self._show(token)
        if isinstance(outcome, NoAnswer) and outcome.sent:
            _log.warning("refresh_unanswered", credential=self.name, reason=outcome.error.message)
            await self._clock.sleep(self._random.uniform(*_AGAIN_S))
            outcome = await self._show(token)
        return outcome.error if isinstance(outcome, NoAnswer) else outcome

    async def _show(self, token: OAuthToken) -> OAuthToken | NoAnswer | BridgeError:
        """One request for the next token, while the turn is surely ours."""
        if self._turn is not None:
            self._turn.check()
        return await self._provider.refresh(token)

    async def _keep(self, entry: Entry, before: Entry | None = None) -> Entry:
        """Save before use, as the successor of `before`; nothing stands between the answer and the saving. Where the
        store refuses, the token stays in memory with the turn held, so that no other process presents its dead
        predecessor. What was tried may have been written: its successor may take its place."""
        if before is not None:
            self._after.add(before.revision)
        try:
            saved = await self._vault.update(self.name, entry, self._after, self._turn)
        except (VaultLocked, Transient) as error:
            self._unsaved = entry
            self._after.add(entry.revision)
            _log.error("token_unsaved", credential=self.name, reason=error.message)
            return entry
        self._unsaved = None
        self._after.clear()
        _log.debug("credential_kept", credential=self.name, current=saved)
        return entry if saved else await self._vault.load(self.name)

    async def _failed(self, entry: Entry, error: BridgeError, *, discovered: bool) -> BridgeError:
        """Book a failure and say what to raise. Only a grant the provider calls dead is marked so."""
        if isinstance(error, Unauthorised):
            await self._keep(entry.refused(error.message, self._clock.now().timestamp()), entry)
            _log.warning("login_required", credential=self.name, reason=error.message)
        elif isinstance(error, Moved) and discovered:
            return Unauthorised(f"{error.message} It was asked where it says it is.", next_step="Link again.")
        elif isinstance(error, (Transient, Refused)):
            self._quiet = (self._clock.monotonic() + _pause_s(error), error)
        return error

    def _respect_quiet(self, *, throttled_only: bool) -> None:
        if self._quiet is None:
            return
        until, error = self._quiet
        left = until - self._clock.monotonic()
        if left <= 0:
            self._quiet = None
        elif isinstance(error, Throttled):
            raise Throttled(error.message, retry_after_s=left)
        elif not throttled_only:
            raise type(error)(error.message)

    async def _save_again(self) -> None:
        """Write what could not be written; drop it when its link is gone."""
        if self._unsaved is not None:
            await self._keep(self._unsaved)

    async def _save_between(self) -> None:
        """The same while no refresh runs, giving the turn back when it worked."""
        if self._unsaved is None or self._own.locked():
            return
        async with self._own:
            try:
                await self._save_again()
            finally:
                await self._release()

    async def _release(self) -> None:
        if self._unsaved is None and self._turn is not None:
            turn, self._turn = self._turn, None
            await turn.release()

    async def _stored(self) -> Entry:
        stamp = await self._vault.stamp(self.name)
        if stamp is None:
            self._cached = None
            raise not_linked(self.name)
        if self._cached is None or self._cached[0] != stamp:
            self._cached = (stamp, await self._vault.load(self.name))
        return self._cached[1]


def _pause_s(error: Transient | Refused) -> float:
    if isinstance(error, Throttled):
        return _THROTTLED_S if error.retry_after_s is None else error.retry_after_s
    return _QUIET_S


def moved(entry: Entry, client_id: str | None, token_url: str | None) -> OAuthToken:
    """The credential, pointed at where the provider went. Raises NotAllowed outside the credential's hosts."""
    token = entry.credential
    if not isinstance(token, OAuthToken):
        raise Unauthorised("The access token was refused.", next_step=f"Link {entry.plug_in} again.")
    if token_url is not None and host_of(parse(token_url)) != host_of(parse(token.token_url)):
        try:
            require_listed(parse(token_url), entry.hosts)
        except NotAllowed:
            raise NotAllowed(f"A refresh token was about to go to {host_of(parse(token_url))}.") from None
    return replace(token, client_id=client_id or token.client_id, token_url=token_url or token.token_url)
