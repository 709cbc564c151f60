"""One login in a browser: the address to open, and reading the address it ends at."""

from __future__ import annotations

import hmac
import html
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from authlib.oauth2.client import OAuth2Client

from bridge.contracts import Authorise
from bridge.credentials.hosts import is_loopback, parse, require_safe
from bridge.errors import Refused
from bridge.redaction import hide, redact_text

VALID_FOR = timedelta(minutes=15)
_VERIFIER_BYTES, _STATE_BYTES = 64, 32


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A login that was begun and not finished; lives in memory only. The verifier is never shown."""

    authorise: Authorise
    url: str = field(repr=False)
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    expires: datetime

    @property
    def receivable(self) -> bool:
        """Whether the browser ends at a loop-back address that this machine can listen on."""
        return loopback_target(self.authorise.redirect_uri) is not None


def begin_login(authorise: Authorise, now: datetime, *, allow_private_http: bool = False) -> PendingLogin:
    """Authorize address with PKCE S256 and a random state. Raises NotAllowed for an unsafe address."""
    require_safe(parse(authorise.authorization_url), allow_private_http=allow_private_http)
    verifier, state = secrets.token_urlsafe(_VERIFIER_BYTES), secrets.token_urlsafe(_STATE_BYTES)
    hide(verifier)
    hide(state)
    client = OAuth2Client(
        None,
        authorise.client_id,
        scope=authorise.scope,
        redirect_uri=authorise.redirect_uri,
        code_challenge_method="S256",
    )
    url, _ = client.create_authorization_url(
        authorise.authorization_url, state=state, code_verifier=verifier, **authorise.params
    )
    return PendingLogin(authorise, url, state, verifier, now + VALID_FOR)


def read_redirect(login: PendingLogin, pasted: str, now: datetime) -> str:
    """The code in what a person pasted: the whole address, a message that quotes it, or `code=..&state=..`.

    Raises Refused saying what to do, also for the provider's own refusal.
    """
    if now >= login.expires:
        raise Refused("This login was begun more than 15 minutes ago.", next_step="Begin again.")
    fields = _fields(login, pasted)
    if not _same_state(login, fields):
        raise Refused(
            "That address does not belong to this login: its state differs or is missing.",
            next_step="Copy the whole address after signing in on the newest page.",
        )
    if "error" in fields:
        raise Refused(f"The provider refused the login: {_said(fields)}.", next_step="Begin again.")
    code = fields.get("code")
    if not code:
        raise Refused("That address has no code in it.", next_step="Copy the whole address, from code to state.")
    hide(code)
    return code


def loopback_target(redirect_uri: str) -> tuple[str, int, str] | None:
    """Host, port and path of a loop-back redirect, None for any other."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or not parts.hostname or not parts.port or not is_loopback(parts.hostname):
        return None
    return parts.hostname, parts.port, parts.path or "/"


def _fields(login: PendingLogin, pasted: str) -> Mapping[str, str]:
    """The redirect's parameters. A terminal wraps long addresses, so lines are first read as one; where that
    does not give the right state, they are read as they are."""
    variants = dict.fromkeys((re.sub(r"[\r\n]+[ \t]*", "", pasted), pasted))
    read = [_query(_found(text, login.authorise.redirect_uri)) for text in variants]
    return next((fields for fields in read if _same_state(login, fields)), read[0])


def _same_state(login: PendingLogin, fields: Mapping[str, str]) -> bool:
    return hmac.compare_digest(fields.get("state", "").encode(), login.state.encode())


def _found(pasted: str, redirect_uri: str) -> str:
    """The query part of the redirect in the pasted text."""
    text = html.unescape(pasted.strip()).strip(" \t\"'<>")
    quoted = re.search(rf"(?:^|[\s\"'<(]){re.escape(redirect_uri)}\?([^\s\"'<>]+)", text)
    if quoted:
        return quoted[1]
    if re.match(r"\??(?:code|state|error|iss|session_state|scope)=", text):
        return text.removeprefix("?")
    parts = urlsplit(text)
    if (parts.scheme, parts.netloc, parts.path) == _place(redirect_uri):
        return parts.query
    raise Refused(
        "That is not the address the login ends at.",
        next_step=f"After signing in, copy the address that begins with {redirect_uri}",
    )


def _place(uri: str) -> tuple[str, str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc, parts.path


def _query(text: str) -> Mapping[str, str]:
    fields = parse_qs(text.partition("#")[0], keep_blank_values=True)
    if any(len(fields.get(name, ())) > 1 for name in ("code", "state")):
        raise Refused("That address names code or state twice.", next_step="Paste one address alone.")
    return {name: values[0].strip() for name, values in fields.items()}


def _said(fields: Mapping[str, str]) -> str:
    """The provider's words, cut, masked and without control characters."""
    words = f"{fields['error']} {fields.get('error_description', '')}".strip()
    return redact_text("".join(sign for sign in words if sign.isprintable()))[:200].rstrip(".")
