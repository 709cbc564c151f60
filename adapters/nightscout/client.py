"""HTTP to one site: same-host redirects, outages told apart from answers, answers read for what they are."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from adapters.nightscout.address import redirected
from bridge.contracts import Answer, Session
from bridge.errors import Incompatible, Throttled, Transient

Query = Sequence[tuple[str, str]]

READ_S, WRITE_S = 30.0, 60.0
"""A hung database is answered for after 37 s; a shorter time-out would take a stored write for a lost one."""
_MOVED = frozenset((301, 302, 303, 307, 308))
_OUTAGE = frozenset((502, 503, 504))
_MOST_REDIRECTS = 3
PLACEHOLDER = "{token}"
"""Replaced by the session with the access token."""
_JSON = {"Accept": "application/json"}


class SiteClient:
    """Requests to one site. `base` follows the site when it moves to https."""

    def __init__(self, session: Session, base: str) -> None:
        self._session, self.base = session, base

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Query = (),
        bearer: str | None = None,
        header: tuple[str, str] | None = None,
        authorise: bool = True,
    ) -> Answer:
        """One request, redirects on the same host followed with method and body kept.

        `bearer` or `header` replace the session's own credential. Raises Transient for outages (also 502 to 504),
        Throttled when the site asks for patience, Incompatible for a redirect elsewhere. Any other status returns.
        """
        headers = dict(_JSON)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        if header is not None:
            headers[header[0]] = header[1]
        authorise = authorise and bearer is None and header is None
        url = self.base + path
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._session.request(
                method, url, params=list(params) or None, data=body, headers=headers, authorise=authorise,
                timeout_s=READ_S if method == "GET" else WRITE_S,
            )  # fmt: skip
            if answer.status not in _MOVED:
                return _unless_outage(answer)
            url, params = self._next(url, path, answer, params)
        raise Incompatible("The site redirects in a circle.", next_step="Check its address and proxy.")

    def _next(self, url: str, path: str, answer: Answer, params: Query) -> tuple[str, Query]:
        """Where to ask next, and with which parameters; the target of a moved page has its own."""
        target = redirected(url, answer.headers.get("location", ""))
        if target is None:
            raise Incompatible(
                "The site redirects to another address, which the credential is not sent to.",
                next_step="Link again with the site's present address.",
            )
        parts = urlsplit(target)
        moved = f"{parts.scheme}://{parts.netloc}{urlsplit(self.base).path}"
        # The target of an exchange would show the token; the whole site has moved anyway.
        if PLACEHOLDER in path or target.split("?")[0] == moved + path:
            self.base = moved
            return moved + path, params
        return target, ()

    async def version(self) -> dict[str, Any] | None:
        """`version` and `srvDate` (epoch ms) of the site, asked without credential; None before API v3 was made.

        Raises Transient when it does not answer as a Nightscout: this works even when its database is down.
        """
        answer = await self.request("GET", "/api/v3/version", authorise=False)
        if answer.status == 404:
            return None
        found = mapping(answer).get("result")
        if answer.status != 200 or not isinstance(found, dict) or not isinstance(found.get("srvDate"), int):
            raise not_itself(answer)
        return found


def _unless_outage(answer: Answer) -> Answer:
    wait_s = _retry_after(answer)
    if answer.status == 429 or (answer.status == 503 and wait_s is not None):
        raise Throttled("The site asks for patience.", retry_after_s=wait_s)
    if answer.status in _OUTAGE:
        raise Transient(f"The site is not there now (HTTP {answer.status}).")
    return answer


def _retry_after(answer: Answer) -> float | None:
    """Seconds of a Retry-After header, a date in it counted from the answer's own."""
    text = answer.headers.get("retry-after", "")
    if text.strip().isdigit():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def parsed(answer: Answer) -> Any:
    """The JSON of an answer, None where it is none."""
    try:
        return answer.json()
    except ValueError:
        return None


def mapping(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    body = parsed(answer)
    return body if isinstance(body, dict) else {}


def listed(answer: Answer) -> list[dict[str, Any]]:
    """The documents of a read. `200 null` is a failed read, not an empty one: raises Transient."""
    body = parsed(answer)
    if answer.status != 200 or not isinstance(body, list):
        raise not_itself(answer)
    return [one for one in body if isinstance(one, dict)]


def not_itself(answer: Answer) -> Transient:
    """The site answers, but not as a working Nightscout does: start-up failed, database down, a proxy's page."""
    return Transient(
        f"The site answered HTTP {answer.status} without the data asked for.",
        next_step="Open the site in a browser: it may show what is wrong with its settings or database.",
    )
