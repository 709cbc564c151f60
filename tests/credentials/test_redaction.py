from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.redaction import hide, redact_event, redact_text
from tests.credentials.idp import jwt

JWT = jwt(1.8e9)
SHA1 = hashlib.sha1(b"invented").hexdigest()  # noqa: S324
NS_TOKEN = "glucobridg-0123456789abcdef"

LEAKS = {
    "bearer": ("Authorization: Bearer opaque-Token_1.2~3", "opaque-Token_1.2~3"),
    "basic": ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    "headers repr": ("{'Authorization': 'Bearer abc12345', 'Accept': '*/*'}", "abc12345"),
    "headers json": ('{"X-Tidepool-Session-Token": "kc:aa:bb"}', "kc:aa:bb"),
    "cookie": ("Set-Cookie: auth_tmp_token=abc; c=1", "abc; c=1"),
    "jwt": (f"token was {JWT} indeed", JWT.split(".")[1]),
    "cut jwt": (f"began with {JWT[:60]}", JWT[:40]),
    "api secret": (f"api-secret: {SHA1}", SHA1),
    "api secret query": (f"/api/v1/entries.json?secret={SHA1}&count=1", SHA1),
    "api secret upper": (f"API_SECRET={SHA1.upper()}", SHA1.upper()),
    "nightscout token": (f"/api/v2/authorization/request/{NS_TOKEN}", NS_TOKEN),
    "nightscout query": (f"https://ns.example/?token={NS_TOKEN}", NS_TOKEN),
    "nameless nightscout token": ("sent -0123456789abcdef", "0123456789abcdef"),
    "json": ('{"access_token": "aa\\"bb", "expires_in": 3}', 'aa\\"bb'),
    "nested json text": (json.dumps(json.dumps({"refresh_token": "inner-value"})), "inner-value"),
    "single quotes": ("{'refresh_token': 'rt value'}", "rt value"),
    "keyword": ("OAuthToken(access_token='tok', refresh_token='rrr', x=1)", "rrr"),
    "form": ("grant_type=refresh_token&refresh_token=r%2Fx&client_id=c", "r%2Fx"),
    "verifier": ("code_verifier=abcDEF-._~&x=1", "abcDEF-._~"),
    "redirect": ("com.medtronic.carepartner:/sso?code=xyz&state=uvw", "xyz"),
    "redirect state": ("com.medtronic.carepartner:/sso?code=xyz&state=uvw", "uvw"),
    "pasted": ("code=short&state=plain", "short"),
    "encoded redirect": ("next=https%3A%2F%2Fa%2F%3Fcode%3Dq1w2e3%26state%3Dzz", "q1w2e3"),
    "json code": ('{"code": "a1B2c3D4e5F6g7"}', "a1B2c3D4e5F6g7"),
    "password": ("password=hunter2", "hunter2"),
    "userinfo": ("https://someone:pa@ss@ns.example/path", "pa@ss"),
    "userinfo name": ("mongodb://admin:geheim@db:27017/x", "geheim"),
    "e-mail": ("signed in as first.last+tag@mail.example.org", "first.last"),
    "vault key": ("GLUCOBRIDGE_VAULT_KEY=aaaabbbbccccdddd=", "aaaabbbb"),
}

KEPT = [
    "state=login_required",
    '{"state": "discovery_unsupported", "code": "bg/out-of-range"}',
    "carelink-cloud: 288 records, next read at 2026-03-10T06:00:00.000Z",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    '{"sensorState": "NO_ERROR_MESSAGE", "sg": 120}',
    "The bearer of this token is tired; a code of conduct.",
    "error code 404 at https://ns.example/api/v1/entries.json?count=10",
    "token_type and token_url https://login.example/oauth/token",
    "/api/v1/treatments.json?find[created_at][$gte]=2026-03-10",
]


@pytest.mark.parametrize("name", LEAKS)
def test_secret_is_masked_and_twice_is_once(name: str) -> None:
    text, secret = LEAKS[name]
    assert secret in text
    masked = redact_text(text)
    assert secret not in masked
    assert "***" in masked
    assert redact_text(masked) == masked


@pytest.mark.parametrize("text", KEPT)
def test_plain_text_stays(text: str) -> None:
    assert redact_text(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert redact_text('{"access_token": "a", "expires_in": 3}') == '{"access_token": ***, "expires_in": 3}'
    assert redact_text("x?token=a&count=3") == "x?token=***&count=3"
    assert redact_text("https://u:p@ns.example/x") == "https://***@ns.example/x"


def test_hidden_secrets_are_masked_in_any_form() -> None:
    hide("plain/secret value")
    assert redact_text("<plain/secret value>") == "<***>"
    assert redact_text(f"x={quote('plain/secret value', safe='')}") == "x=***"


def test_hiding_is_bounded_and_spares_short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.redaction._MOST_WORDS", 1000)
    hide("ok")
    for number in range(3000):
        hide(f"rotated-number-{number:05}")
    assert redact_text("ok rotated-number-02999") == "ok ***"
    assert redact_text("rotated-number-00000") == "rotated-number-00000"


def test_events_are_masked_at_any_depth() -> None:
    event = {
        "event": f"sent {NS_TOKEN}",
        "url": "https://u:p@h/?token=abc",
        "request": {"headers": [("api-secret", "x"), {"Authorization": "Bearer q"}], "body": b"raw body"},
        "error": ValueError("refresh_token=gone"),
        "code": 404,
        "state": "login_required",
        "login": {"state": "a1b2c3d4e5f6g7", "code": "1/abcdefghijkl"},
        "client_secret": None,
        "password": "hunter2",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "set": {"someone@example.org"},
        "object": _Shown(),
    }
    masked = json.dumps(redact_event(None, "info", event), default=str)
    for secret in (
        NS_TOKEN,
        "u:p",
        "abc",
        '"q"',
        "Bearer q",
        "raw body",
        "gone",
        "a1b2",
        "1/abc",
        "hunter2",
        "someone",
        "k9",
    ):
        assert secret not in masked
    for plain in ('"code": 404', "login_required", "2026-01-01", "<8 bytes>", '"client_secret": null'):
        assert plain in masked


class _Shown:
    def __str__(self) -> str:
        return "thing(token='k9')"


def _fail() -> None:
    error = RuntimeError("at someone@example.org")
    raise error from ValueError("access_token=inner-one")


@pytest.mark.parametrize("form", ["true", "error", "tuple"])
def test_tracebacks_become_masked_text(form: str) -> None:
    try:
        _fail()
    except RuntimeError as error:
        given_as: dict[str, Any] = {"true": True, "error": error, "tuple": (type(error), error, error.__traceback__)}
        event = redact_event(None, "error", {"event": "failed", "exc_info": given_as[form]})
    assert "exc_info" not in event
    assert "RuntimeError: at ***" in event["exception"]
    assert "inner-one" not in event["exception"]


def test_endless_nesting_ends() -> None:
    loop: list[Any] = ["password=x1"]
    loop.append(loop)
    assert "x1" not in str(redact_event(None, "info", {"event": loop}))


def test_long_texts_take_no_long_time() -> None:
    noise = random.Random(5).choices("abcdefgh0123456789-._=:@/?&\"' ", k=200_000)
    began = time.process_time()
    for text in ("a" * 200_000, "a-" * 100_000, "eyJ" * 60_000, '"' * 100_000, "".join(noise), "code=" * 40_000):
        redact_text(text)
    assert time.process_time() - began < 5


@given(st.text(max_size=80), st.sampled_from(sorted(LEAKS)), st.text(max_size=80))
def test_noise_around_never_uncovers(before: str, name: str, after: str) -> None:
    """On lines of their own the leaks stay covered whatever else the text holds."""
    text, secret = LEAKS[name]
    if secret in before or secret in after:
        return
    masked = redact_text(f"{before}\n{text}\n{after}")
    assert secret not in masked


def test_a_basic_header_of_a_hidden_pair() -> None:
    pair = base64.b64encode(b"client:geheimes").decode()
    assert pair not in redact_text(f"'Authorization': 'Basic {pair}'")


def test_importing_costs_nothing_else() -> None:
    code = "import sys, bridge.redaction; print(any(m in sys.modules for m in ('structlog', 'aiohttp', 'pydantic')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("secret", ["plainsecret0001", "v1.Mabc/def+ghi=", "a|b|c-0123456789"])
@pytest.mark.parametrize("said", ["{}", "'{}'", "token {} refused", "[{}, 1]"])
def test_the_secrets_of_thousands_of_people_are_masked_where_they_stand_alone(said: str, secret: str) -> None:
    hide(secret)
    for number in range(3000):
        hide(f"another-secret-{number:08}")
    assert secret not in redact_text(said.format(secret))
    for address in ("https://host/a/{}?x=1", "a={}&b=2"):
        assert quote(secret, safe="") not in redact_text(address.format(quote(secret, safe="")))


def test_thousands_of_secrets_do_not_make_a_line_slow() -> None:
    for number in range(20_000):
        hide(f"one-more-secret-{number:08}")
    began = time.process_time()
    for _ in range(100):
        redact_text("2026-03-10 read profile=p1 reader=carelink-cloud state=ok new=1 revised=0 " * 3)
    assert time.process_time() - began < 1
