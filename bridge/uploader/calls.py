"""Read-only calls of a read-back: what cannot be asked is None with a note, never an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.contracts import Answer, Clock, Session
from bridge.errors import Forbidden, Incompatible, Moved, Refused, Transient, Unauthorised
from bridge.uploader.patience import http_date, retry_after_s

HANDLED = (Transient, Unauthorised, Forbidden, Refused, Incompatible, Moved)
_TIMEOUT_S = 30.0
_LONGEST_WAIT_S = 30.0
_TRIES = {429: 3}
"""Of a call in all, by status; a server error is tried twice."""
_ACCEPT = {"Accept": "application/json, text/plain, */*"}


class Calls:
    """One look at one server. `notes` say what could not be asked; `ahead_s` is the server's clock minus ours, of the
    last answer that told."""

    def __init__(self, session: Session, base_url: str, clock: Clock) -> None:
        self.session, self.base, self.clock = session, base_url, clock
        self.notes: list[str] = []
        self.ahead_s = 0.0

    async def document(
        self, what: str, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """The JSON of a good answer; None, with a note, when there is none."""
        answer = await self.any_answer(what, method, path, params, body)
        return None if answer is None else self.parsed(what, answer)

    def parsed(self, what: str, answer: Answer) -> Any:
        """The JSON of an answer; None, with a note, when it is not a good one."""
        try:
            if answer.status == 200:
                return json.loads(answer.body)
            self.unavailable(what, f"the answer was HTTP {answer.status}")
        except (ValueError, RecursionError):
            self.unavailable(what, "the answer was no JSON")
        return None

    async def any_answer(
        self,
        what: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer | None:
        """An answer of any status; None, with a note, when none came."""
        try:
            return await self._asked(method, path, params, body, limit_bytes)
        except HANDLED as error:
            self.unavailable(what, error.message.rstrip("."))
            return None

    def unavailable(self, what: str, why: str) -> None:
        """Note what is not known and why."""
        self.notes.append(f"Not available: {what} ({why}).")

    async def _asked(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Any, limit_bytes: int
    ) -> Answer:
        """One answer: renewed once after a 401, again after 429 and once after a server error."""
        renewed, tries = False, 0
        while True:
            answer = await self.session.request(
                method, self.base + path, params=params, json=body, headers=_ACCEPT, timeout_s=_TIMEOUT_S,
                limit_bytes=limit_bytes,
            )  # fmt: skip
            self._note_clock(answer)
            if answer.status == 401 and not renewed:
                renewed = True
                await self.session.renew()
                continue
            tries += 1
            if tries >= _TRIES.get(answer.status, 2 if answer.status >= 500 else 1):
                return answer
            wait_s = retry_after_s(answer.headers, self.clock.now())
            if wait_s is not None and wait_s > _LONGEST_WAIT_S:
                return answer
            await self.clock.sleep(2.0 if wait_s is None else wait_s)

    def _note_clock(self, answer: Answer) -> None:
        told = http_date(answer.headers.get("date", ""))
        if told is not None:
            self.ahead_s = (told - self.clock.now()).total_seconds()
