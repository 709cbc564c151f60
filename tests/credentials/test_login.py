from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.contracts import Authorise
from bridge.credentials.login import PendingLogin, begin_login, read_redirect
from bridge.errors import NotAllowed, Refused
from tests.support.clock import FakeClock

REDIRECT = "com.medtronic.carepartner:/sso"
ASKED = Authorise(
    client_id="client",
    authorization_url="https://login.example/authorize?tenant=a",
    token_url="https://login.example/oauth/token",
    redirect_uri=REDIRECT,
    scope="profile openid offline_access",
    hosts=("login.example",),
    params={"audience": "carepartner.patient.ous"},
)
NOW = FakeClock().now()


@pytest.fixture
def login() -> PendingLogin:
    return begin_login(ASKED, NOW)


def test_the_address_carries_a_fresh_challenge_and_state(login: PendingLogin) -> None:
    parts = urlsplit(login.url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    digest = hashlib.sha256(login.verifier.encode()).digest()
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "login.example", "/authorize")
    assert query == {
        "tenant": "a",
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": REDIRECT,
        "scope": "profile openid offline_access",
        "audience": "carepartner.patient.ous",
        "state": login.state,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    assert re.fullmatch(r"[\w-]{43,128}", login.verifier)
    another = begin_login(ASKED, NOW)
    assert another.state != login.state
    assert another.verifier != login.verifier
    assert login.expires == NOW + timedelta(minutes=15)


@pytest.mark.parametrize(
    "shape",
    [
        "{uri}?code={code}&state={state}",
        "  {uri}?code={code}&state={state}\n",
        "'{uri}?code={code}&state={state}'",
        "<{uri}?state={state}&code={code}>",
        "{uri}?code={code}&amp;state={state}",
        "{uri}?code={code}&state={state}#_=_",
        "{uri}?code={code}&state={state}&iss=https%3A%2F%2Flogin.example%2F",
        "code={code}&state={state}",
        "?code={code}&state={state}",
        "state={state}&code={code}",
        "COM.medtronic.carepartner:/sso?code={code}&state={state}",
        "Failed to launch '{uri}?code={code}&state={state}' because the scheme has no registered handler.",
        "Location: {uri}?code={code}&state={state}\nVary: Accept",
        "GET {uri}?code={code}&state={state} net::ERR_UNKNOWN_URL_SCHEME",
    ],
)
def test_pastes_of_every_shape_give_the_code(login: PendingLogin, shape: str) -> None:
    pasted = shape.format(uri=REDIRECT, code="c0de-Ab_9", state=login.state)
    assert read_redirect(login, pasted, NOW) == "c0de-Ab_9"


def test_lines_wrapped_by_a_terminal_are_joined(login: PendingLogin) -> None:
    whole = f"{REDIRECT}?code={'c0de' * 30}&state={login.state}"
    wrapped = "\n  ".join(whole[at : at + 40] for at in range(0, len(whole), 40))
    assert read_redirect(login, wrapped, NOW) == "c0de" * 30


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("{uri}?code=c&state=wrong", "does not belong to this login"),
        ("{uri}?code=c", "does not belong to this login"),
        ("code=c", "does not belong to this login"),
        ("{uri}?state={state}", "no code"),
        ("{uri}?code=&state={state}", "no code"),
        ("{uri}/?code=c&state={state}", "not the address the login ends at"),
        ("{uri}x?code=c&state={state}", "not the address the login ends at"),
        ("com.medtronic.carepartner://sso?code=c&state={state}", "not the address the login ends at"),
        ("https://login.example/u/login?state={state}", "not the address the login ends at"),
        ("https://evil.example/?x={uri}?code=c&state={state}", "not the address the login ends at"),
        ("hello", "not the address the login ends at"),
        ("", "not the address the login ends at"),
        ("{uri}?code=a&code=b&state={state}", "twice"),
        ("{uri}?code=a&state={state}&state=x", "twice"),
        ("{uri}?error=access_denied&error_description=User%20said%20no.&state={state}", "access_denied User said no"),
        ("{uri}?error=access_denied&state=wrong", "does not belong to this login"),
    ],
)
def test_wrong_pastes_say_why(login: PendingLogin, shape: str, says: str) -> None:
    with pytest.raises(Refused, match=re.escape(says)) as caught:
        read_redirect(login, shape.format(uri=REDIRECT, state=login.state), NOW)
    assert login.state not in str(caught.value)
    assert caught.value.next_step


def test_a_provider_cannot_smuggle_signs_or_secrets_into_its_refusal(login: PendingLogin) -> None:
    words = "%1B%5B31mtoken%3Dabc123" + "x" * 500
    with pytest.raises(Refused) as caught:
        read_redirect(login, f"{REDIRECT}?error=e&error_description={words}&state={login.state}", NOW)
    assert "\x1b" not in str(caught.value)
    assert "abc123" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_login_ends_after_15_minutes(login: PendingLogin) -> None:
    pasted = f"{REDIRECT}?code=c&state={login.state}"
    assert read_redirect(login, pasted, NOW + timedelta(minutes=14, seconds=59)) == "c"
    with pytest.raises(Refused, match="15 minutes"):
        read_redirect(login, pasted, NOW + timedelta(minutes=15))


def test_an_unsafe_login_page_is_refused() -> None:
    with pytest.raises(NotAllowed):
        begin_login(replace(ASKED, authorization_url="http://login.example/authorize"), NOW)


def test_nothing_of_a_login_shows_in_its_repr(login: PendingLogin) -> None:
    assert login.state not in repr(login)
    assert login.verifier not in repr(login)


def test_only_loopback_redirects_are_receivable(login: PendingLogin) -> None:
    assert not login.receivable
    assert begin_login(replace(ASKED, redirect_uri="http://127.0.0.1:5555/cb"), NOW).receivable
    assert not begin_login(replace(ASKED, redirect_uri="http://192.168.0.2:5555/cb"), NOW).receivable
