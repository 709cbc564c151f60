"""Walks the steps a reader or adapter declares until a credential is in the vault, and back out again."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bridge.contracts import Authorise, Credential, Grant, Hold, Linking, OAuthToken, Session, Step
from bridge.credentials.entry import Entry
from bridge.credentials.held import Held
from bridge.credentials.hosts import require_patterns
from bridge.credentials.login import PendingLogin, begin_login, read_redirect
from bridge.credentials.receiver import wait_for_redirect
from bridge.credentials.session import Sessions
from bridge.errors import (
    BridgeError,
    ContractViolation,
    Forbidden,
    Incompatible,
    Moved,
    Refused,
    Transient,
    Unauthorised,
    VaultLocked,
)
from bridge.redaction import hide

REDIRECT = "redirect"
AUTHORISED = "authorised"

_PROMPT = (
    "Open this address in a browser and sign in. The browser then ends at an address it may not be able to show: "
    "copy that whole address and paste it here."
)


@dataclass(frozen=True, slots=True)
class PendingAuthorisation:
    """A login in the browser is waited for: answer with the key `redirect`, or call `receive` where
    `receivable`. The address is for the person alone, not for logs."""

    url: str = field(repr=False)
    prompt: str
    expires: datetime
    receivable: bool


@dataclass(frozen=True, slots=True)
class Linked:
    """The credential is in the vault. `settings` and `others` as in `Grant`."""

    name: str
    summary: str
    settings: Mapping[str, Any]
    others: Mapping[str, Mapping[str, Any]]


class Walk:
    """One linking of credential `name`. Answers, codes and tokens stay in memory; the vault is written at the
    grant and not before. Ask `step`, give `answer`, until `Linked`; `close` a walk that is given up."""

    def __init__(self, name: str, linking: Linking, settings: Mapping[str, Any], sessions: Sessions) -> None:
        self.name = name
        self._linking, self._settings, self._sessions = linking, settings, sessions
        self._answers: dict[str, str] = {}
        self._asked: Step | None = None
        self._newest: str | None = None
        self._login: PendingLogin | None = None
        self._code: str | None = None
        self._held: Held | None = None
        self._logged_in = False

    async def step(self) -> Step | PendingAuthorisation | Linked:
        """What comes next. Raises Refused for an answer that does not fit: that answer is forgotten, and the next
        call asks again. An outage raises Transient and may be tried again as it is."""
        if self._login is not None:
            if self._code is None:
                return self._pending(self._login)
            await self._exchange(self._login, self._code)
        outcome = await self._begin()
        while isinstance(outcome, Hold):
            self._hold(outcome.credential, outcome.hosts)
            outcome = await self._begin()
        if isinstance(outcome, Authorise):
            return self._authorise(outcome)
        if isinstance(outcome, Grant):
            return await self._granted(outcome)
        self._ask(outcome)
        return outcome

    def answer(self, key: str, text: str) -> None:
        """A person's answer to the step asked last, or the pasted address under `redirect`. Raises Refused at
        once for an address or a choice that does not fit."""
        if self._login is not None and key == REDIRECT:
            self._code = read_redirect(self._login, text, self._sessions.clock.now())
            return
        if self._asked is None or key != self._asked.key:
            raise Refused(f"Nobody asked for {key!r}.", next_step="Answer the step that is shown.")
        self._answers[key] = _fitting(self._asked, text)
        self._newest = key

    async def receive(self, timeout_s: float = 900.0) -> None:
        """Wait for the browser at the loop-back redirect instead of pasting; raises as `wait_for_redirect`."""
        if self._login is None:
            raise Refused("No login in the browser is waited for.", next_step="Ask for the next step.")
        login = self._login
        self._code = read_redirect(login, await wait_for_redirect(login, timeout_s), self._sessions.clock.now())

    async def close(self) -> None:
        """Give the walk up and forget everything. A token from a login of this walk is revoked as far as the
        provider answers; one that a person brought along is theirs."""
        held, self._held = self._held, None
        self._answers.clear()
        self._login = self._code = None
        if self._logged_in and held is not None and isinstance(held.entry.credential, OAuthToken):
            try:
                await self._sessions.provider.revoke(held.entry.credential)
            except Transient:
                return

    async def _begin(self) -> Step | Authorise | Hold | Grant:
        session: Session = self._sessions.open() if self._held is None else self._sessions.over(self._held)
        try:
            return await self._linking.begin(session, self._settings, dict(self._answers))
        except Refused:
            if self._newest is not None:
                self._answers.pop(self._newest, None)
                self._newest = None
            raise

    def _ask(self, step: Step) -> None:
        if step.key in {REDIRECT, AUTHORISED}:
            raise ContractViolation(f"{self._linking.name} asks for {step.key!r}, which is not its to ask.")
        self._asked = step

    def _authorise(self, asked: Authorise) -> PendingAuthorisation:
        if self._held is not None:
            raise ContractViolation(f"{self._linking.name} wants a second login.")
        self._code = None
        self._login = begin_login(
            asked, self._sessions.clock.now(), allow_private_http=self._sessions.allow_private_http
        )
        return self._pending(self._login)

    def _pending(self, login: PendingLogin) -> PendingAuthorisation:
        if self._sessions.clock.now() >= login.expires:
            login = self._login = begin_login(
                login.authorise,
                self._sessions.clock.now(),
                allow_private_http=self._sessions.allow_private_http,
            )
        return PendingAuthorisation(login.url, _PROMPT, login.expires, login.receivable)

    async def _exchange(self, login: PendingLogin, code: str) -> None:
        try:
            token = await self._sessions.provider.exchange(login, code)
        except Transient:
            raise
        except BridgeError:
            self._login = self._code = None
            raise
        self._login = self._code = None
        self._logged_in = True
        self._hold(token, login.authorise.hosts)

    def _hold(self, credential: Credential, hosts: tuple[str, ...]) -> None:
        if self._held is not None:
            raise ContractViolation(f"{self._linking.name} holds a second credential.")
        require_patterns(hosts)
        now = self._sessions.clock.now().timestamp()
        entry = Entry(self._linking.name, credential, hosts, (), now)
        self._held = Held(entry, self._sessions.provider, self._sessions.clock)
        self._answers[AUTHORISED] = "yes"
        self._newest = None

    async def _granted(self, grant: Grant) -> Linked:
        if self._held is None:
            raise ContractViolation(f"{self._linking.name} grants without a credential.")
        require_patterns(grant.hosts)
        entry = replace(self._held.entry, hosts=tuple(grant.hosts), scopes=tuple(grant.scopes))
        await self._sessions.vault.store(self.name, entry)
        self._held = None
        self._answers.clear()
        return Linked(self.name, grant.summary, grant.settings, grant.others)


async def unlink(
    name: str, linking: Linking, settings: Mapping[str, Any], sessions: Sessions, *, force: bool = False
) -> str:
    """Revoke at the provider, then forget; what happened and what is left to do, in plain sentences.

    Raises Transient, and forgets nothing, when the provider cannot be reached, unless `force`.
    """
    try:
        said = [
            await _tried(_beyond_oauth(name, linking, settings, sessions), name, force=force),
            await _tried(_revoked(name, sessions), name, force=force),
        ]
    except VaultLocked:
        if not force:
            raise
        said = ["The credential cannot be read, so nothing was revoked: end the session on the provider's own site."]
    await sessions.vault.delete(name)
    return " ".join(sentence for sentence in said if sentence)


async def _tried(revoke: Awaitable[str], name: str, *, force: bool) -> str:
    try:
        return await revoke
    except Transient as error:
        outage = error.message
    if force:
        return f"{outage} The credential may still be valid there: end the session on the provider's own site."
    raise Transient(
        f"{outage} {name} was not revoked and is still in the vault.",
        next_step="Try again later, or force it and end the session on the provider's own site.",
    )


async def _beyond_oauth(name: str, linking: Linking, settings: Mapping[str, Any], sessions: Sessions) -> str:
    """The plug-in's own revocation; comes first, since it may need the token alive."""
    await sessions.keeper(name).current()
    try:
        return await linking.revoke(sessions.authorised(name), settings)
    except (Unauthorised, Forbidden, Refused, Moved, Incompatible) as error:
        return error.message


async def _revoked(name: str, sessions: Sessions) -> str:
    """OAuth revocation of the newest token, while nobody refreshes it."""
    async with sessions.keeper(name).alone() as entry:
        if not isinstance(entry.credential, OAuthToken):
            return ""
        return await sessions.provider.revoke(entry.credential)


def _fitting(step: Step, text: str) -> str:
    """The answer, trimmed and in the spelling of the choices; a secret one is hidden from every log."""
    text = text.strip()
    if step.secret:
        hide(text)
    if not step.choices:
        return text
    if step.many and text.lower() == "all":
        return "all"
    known = {choice.lower(): choice for choice in step.choices}
    given = [part.strip().lower() for part in text.split(",")] if step.many else [text.lower()]
    if not all(part in known for part in given):
        offered = ", ".join(step.choices) + (", all" if step.many else "")
        raise Refused("That is not one of the choices.", next_step=f"Choose from: {offered}.")
    return ",".join(known[part] for part in given)


__all__ = ["Linked", "PendingAuthorisation", "Walk", "unlink"]
