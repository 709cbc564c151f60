"""The calls of contract clu-1 over a session: each answer as a value or as the error it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts import Answer, Clock, Session
from bridge.errors import BridgeError, Forbidden, Incompatible, Refused, Throttled, Transient, Unauthorised
from bridge.uploader import clu1
from bridge.uploader.patience import RETRYABLE, retry_after_s
from bridge.uploader.places import name_of

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_CODE = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
_TIMEOUT_S, _PART_TIMEOUT_S = 30.0, 300.0
_GONE = frozenset({404, 410})
_OF_UPLOAD = "/v1/uploads/"


class TooLarge(Refused):
    """A part of `part_bytes` bytes is too large for the server or for something before it."""

    def __init__(self, message: str, part_bytes: int) -> None:
        super().__init__(message)
        self.part_bytes = part_bytes


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload as the server tells it. `state`: receiving, processing, complete, rejected or expired."""

    id: str
    state: str
    received: frozenset[int] = frozenset()
    errors: Sequence[str] = ()

    @property
    def why(self) -> str:
        """The codes of what it did not like, as the end of a sentence."""
        return f", naming {', '.join(self.errors)}" if self.errors else ""


class Clu1Server:
    """One server. Raises Transient and Throttled for what may be tried again, Unauthorised and Forbidden for what
    needs a person, Refused and Incompatible for the rest."""

    def __init__(self, session: Session, base_url: str, clock: Clock) -> None:
        self._session, self._base, self._clock = session, base_url, clock
        self.host = name_of(base_url)

    async def limits(self) -> clu1.Limits:
        """What the server takes."""
        return clu1.limits_of(self._json(await self._ask("GET", "/v1/capabilities")))

    async def create(self, box: clu1.Container) -> UploadStatus:
        """Announce an upload; the same one again is answered with what the server has of it."""
        headers = {"Idempotency-Key": box.key}
        return self._status(await self._ask("POST", "/v1/uploads", json=dict(box.manifest), headers=headers))

    async def put(self, upload_id: str, part: clu1.Part) -> None:
        """Send one part. Raises TooLarge."""
        headers = {"Content-Digest": clu1.content_digest(part), "Content-Type": part.media_type}
        path = f"/v1/uploads/{upload_id}/parts/{part.n}"
        await self._ask("PUT", path, data=part.body, headers=headers, timeout_s=_PART_TIMEOUT_S)

    async def complete(self, upload_id: str, sha256: str) -> UploadStatus:
        """Say that all parts are there."""
        return self._status(await self._ask("POST", f"/v1/uploads/{upload_id}/complete", json={"sha256": sha256}))

    async def status(self, upload_id: str) -> UploadStatus:
        """Where an upload stands."""
        return self._status(await self._ask("GET", f"/v1/uploads/{upload_id}"))

    async def abort(self, upload_id: str) -> None:
        """Give an upload up while it is received; one that is gone already is as good."""
        await self._ask("DELETE", f"/v1/uploads/{upload_id}", gone_is_fine=True)

    # --- one request ---

    async def _ask(self, method: str, path: str, *, gone_is_fine: bool = False, **how: Any) -> Answer:
        how = {"timeout_s": _TIMEOUT_S, **how}
        answer = await self._session.request(method, self._base + path, **how)
        if answer.status == 401:
            await self._session.renew()
            answer = await self._session.request(method, self._base + path, **how)
        if answer.status < 300 or (gone_is_fine and answer.status in _GONE):
            return answer
        if answer.status in _GONE and path.startswith(_OF_UPLOAD):
            raise Transient(f"{self.host} does not know this upload any more.")
        raise self._failure(answer, len(how.get("data") or b""))

    def _failure(self, answer: Answer, sent_bytes: int) -> BridgeError:
        """The error that a bad answer stands for."""
        status, problem = answer.status, _problem(answer)
        code = f" ({problem.code})" if problem.code else ""
        if status == 401:
            return Unauthorised(
                f"{self.host} does not accept the sign-in.", next_step="Link the upload server again."
            )
        if status == 403:
            return Forbidden(
                f"{self.host} does not let this account upload.", next_step="Ask for the right `snapshot:write`."
            )
        if status == 413 and sent_bytes:
            return TooLarge(f"{self.host} does not take a part of {sent_bytes} bytes.", sent_bytes)
        if status in RETRYABLE or problem.retryable:
            wait_s = retry_after_s(answer.headers, self._clock.now())
            wait_s = problem.retry_after_s if wait_s is None else wait_s
            if status == 429 or wait_s is not None:
                return Throttled(f"{self.host} asks for patience (HTTP {status}).", retry_after_s=wait_s)
            return Transient(f"{self.host} cannot take the upload now (HTTP {status}){code}.")
        return Refused(f"{self.host} refused the upload (HTTP {status}){code}.", next_step="Ask its operator.")

    def _json(self, answer: Answer) -> Any:
        """The JSON of a good answer. Raises Transient: a page in its place is a login or an outage on the way."""
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise Transient(f"{self.host} answered with something that is no JSON.") from None

    def _status(self, answer: Answer) -> UploadStatus:
        document = self._json(answer)
        if not isinstance(document, dict) or not _ID.fullmatch(str(document.get("id"))):
            raise Incompatible(f"{self.host} answers in a way that contract clu-1 does not know.")
        received, errors = document.get("received_parts"), document.get("errors")
        return UploadStatus(
            str(document["id"]),
            str(document.get("state")),
            frozenset(n for n in received if isinstance(n, int)) if isinstance(received, list) else frozenset(),
            tuple(map(_code, errors)) if isinstance(errors, list) else (),
        )


@dataclass(frozen=True, slots=True)
class _Problem:
    code: str = ""
    retryable: bool = False
    retry_after_s: float | None = None


def _problem(answer: Answer) -> _Problem:
    """The error object of an answer; only what has the contract's shape is taken up."""
    try:
        error = json.loads(answer.body)["error"]
        wait_s = error.get("retry_after_s")
        wait = float(wait_s) if isinstance(wait_s, int | float) else None
        return _Problem(_code(error), error.get("retryable") is True, wait)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _Problem()


def _code(error: Any) -> str:
    """A code that may be shown; a server's free text is not."""
    code = error.get("code") if isinstance(error, dict) else error
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "error"
