"""Seeded secrets must not turn up anywhere they could be read."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from yarl import URL

from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Sessions, Vault, Walk, held, oauth, wire
from bridge.credentials.login import begin_login, read_redirect
from bridge.errors import BridgeError
from bridge.redaction import redact_event
from tests.credentials.conftest import KEY, Provider
from tests.credentials.idp import jwt
from tests.credentials.plugins import Bringing, Plugin
from tests.support.clock import FakeClock

ACCESS, REFRESH = jwt(1.9e9, note="seeded"), "seeded-refresh-Token~1"
CLIENT_SECRET, STATIC = "seeded client/secret", "glucobridg-fedcba9876543210"
SEEDED = (ACCESS, REFRESH, CLIENT_SECRET, STATIC)


def _clean(text: str, *more: str) -> None:
    for secret in (*SEEDED, *more):
        assert secret not in text


@pytest.fixture
async def seeded(vault: Vault, provider: Provider, clock: FakeClock) -> Entry:
    entry = provider.entry(
        clock.now().timestamp(), life_s=-1, access_token=ACCESS, refresh_token=REFRESH, client_secret=CLIENT_SECRET
    )
    await vault.store("p1", entry)
    await vault.store("site", replace(entry, credential=StaticToken(STATIC, "api-secret"), link_id="s"))
    return entry


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the room logs, rendered as the program renders it."""
    lines: list[str] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        lines.append(json.dumps(event, default=str))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, redact_event, keep])
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    return lines


@pytest.fixture(autouse=True)
def _logging_as_before() -> Any:
    yield
    structlog.reset_defaults()


async def test_no_repr_shows_a_secret(
    seeded: Entry, vault: Vault, sessions: Sessions, client: aiohttp.ClientSession
) -> None:
    things = [
        seeded, seeded.credential, vault, vault.ring, KEY, sessions, sessions.authorised("p1"), sessions.keeper("p1"),
        sessions.open(), held.Held(await vault.load("site"), sessions.provider, sessions.clock),
        wire.Call("GET", URL(f"https://h/{STATIC}"), headers={"a": ACCESS}, data={"t": REFRESH}),
    ]  # fmt: skip
    assert await vault.load("p1") == seeded
    for thing in things:
        _clean(repr(thing) + str(thing), KEY.text())
    _clean(repr(await vault.describe(1e9)))


def test_no_file_shows_a_secret(seeded: Entry, tmp_path: Path) -> None:
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in SEEDED:
                assert secret.encode() not in content
                assert secret[3:15].encode() not in content


@pytest.mark.parametrize(
    "fault",
    ["500", "400", "404", "429", "403_html", "invalid_grant_403", "invalid_client_401", "cut", "drop", "garbage"],
)
async def test_no_error_or_log_line_shows_a_secret(
    seeded: Entry, sessions: Sessions, provider: Provider, logged: list[str], fault: str
) -> None:
    provider.idp.families[REFRESH] = next(iter(provider.idp.families.values()))
    provider.idp.leeway = False
    provider.idp.faults.append(fault)
    out = io.StringIO()
    log = structlog.get_logger("room")
    with redirect_stdout(out), redirect_stderr(out):
        for call in (sessions.keeper("p1").usable, sessions.authorised("p1").renew):
            try:
                await call()
            except BridgeError as error:
                _clean(f"{error!r} {error} {error.__dict__} {error.__context__!r} {error.__cause__!r}")
                log.exception("failed", body={"refresh_token": REFRESH, "note": f"sent {ACCESS}"}, token=STATIC)
        log.info("request", url=f"https://h/{STATIC}?x={CLIENT_SECRET}", entry=seeded.secrets)
    _clean("\n".join(logged) + out.getvalue())
    assert logged


async def test_what_a_refresh_brings_is_hidden_as_well(
    sessions: Sessions, linked: Callable[..., Awaitable[Entry]], logged: list[str]
) -> None:
    await linked(life_s=-1)
    entry = await sessions.keeper("p1").usable()
    assert isinstance(entry.credential, OAuthToken)
    structlog.get_logger("room").info(
        "leaky", text=f"<{entry.credential.access_token}|{entry.credential.refresh_token}>"
    )
    assert any("<***|***>" in line for line in logged)


async def test_a_login_hides_what_it_makes_and_what_is_pasted(
    provider: Provider, sessions: Sessions, logged: list[str]
) -> None:
    now = sessions.clock.now()
    login = begin_login(Plugin(provider.base).authorise(), now)
    code = read_redirect(login, f"code=seeded-code-12345&state={login.state}", now)
    structlog.get_logger("room").info("leaky", a=login.verifier, b=[login.state], c={"x": code}, url=login.url)
    _clean("\n".join(logged), login.verifier, login.state, code)


async def test_secret_answers_are_hidden_and_forgotten(
    provider: Provider, sessions: Sessions, logged: list[str]
) -> None:
    walk = Walk("site", Bringing(provider.base), {}, sessions)
    await walk.step()
    walk.answer("token", "a-typed-secret-answer")
    structlog.get_logger("room").info("typed a-typed-secret-answer")
    await walk.step()
    assert walk._answers == {}
    assert logged
    assert "a-typed-secret-answer" not in "\n".join(logged)


def test_the_client_sends_its_secret_in_the_header_only(sessions: Sessions, seeded: Entry) -> None:
    assert isinstance(seeded.credential, OAuthToken)
    call = oauth.OAuthClient._post(sessions.provider, seeded.credential, seeded.credential.token_url, "a=b")
    assert call.data == {"a": "b"}
    assert "Basic" in call.headers["Authorization"]
    assert CLIENT_SECRET not in str(call.url)
