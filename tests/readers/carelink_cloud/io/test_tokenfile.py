from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from bridge.errors import Refused
from bridge.readers.carelink_cloud.tokenfile import parse_token_file


def jwt(claims: object) -> str:
    middle = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{middle}.sign"


def read(**document: Any) -> Any:
    return parse_token_file(json.dumps(document))


def test_all_keys() -> None:
    tokens = read(
        access_token=jwt({"exp": 1_800_000_000}),
        refresh_token="refresh-1",
        client_id="client-1",
        token_url="https://carelink-login.minimed.eu/oauth/token",
        audience="carepartner.patient.ous",
        scope="profile openid offline_access",
        something_else={"ignored": True},
    )
    assert tokens.refresh_token == "refresh-1"
    assert tokens.client_id == "client-1"
    assert tokens.scope == "profile openid offline_access"
    assert tokens.expires_at == 1_800_000_000


def test_a_refresh_token_is_enough() -> None:
    tokens = read(refresh_token="refresh-1")
    assert (tokens.access_token, tokens.expires_at, tokens.client_id, tokens.token_url) == ("", 0.0, "", "")


def test_a_file_with_line_breaks_and_a_byte_order_mark() -> None:
    text = "\ufeff" + json.dumps({"refresh_token": " refresh-1 ", "access_token": None}, indent=2) + "\r\n"
    assert parse_token_file(text).refresh_token == "refresh-1"


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b",
        "a.!!.c",
        "a.bm8.c",
        jwt([]),
        jwt({}),
        jwt({"exp": "x"}),
        jwt({"exp": True}),
        "a." + "W" * 50 + ".c",
    ],
)
def test_an_access_token_that_does_not_tell_its_end_is_refreshed_first(token: str) -> None:
    assert read(refresh_token="r", access_token=token).expires_at == 0.0


@pytest.mark.parametrize("key", ["client_secret", "mag-identifier", "mag_identifier"])
def test_a_file_of_the_old_sign_in_says_sign_in_again(key: str) -> None:
    with pytest.raises(Refused, match=r"(?i)sign in again"):
        read(refresh_token="r", access_token="a", **{key: "x"})


def test_empty_remains_of_the_old_sign_in_do_no_harm() -> None:
    assert read(refresh_token="r", client_secret=None, **{"mag-identifier": ""}).refresh_token == "r"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"refresh"',
        "{",
        "{}",
        "[" * 50_000,
        json.dumps({"refresh_token": "r" * 70_000}),
        json.dumps({"access_token": "a"}),
        json.dumps({"refresh_token": ""}),
        json.dumps({"refresh_token": ["r"]}),
        json.dumps({"refresh_token": "two words"}),
        json.dumps({"refresh_token": "r\r\nX-Evil: 1"}),
        json.dumps({"refresh_token": "r", "scope": "a\nb"}),
        json.dumps({"refresh_token": "r", "client_id": 5}),
        "/home/me/logindata.json",
    ],
)
def test_anything_else_is_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_token_file(text)
    assert caught.value.next_step


def test_no_secret_is_shown() -> None:
    tokens = read(refresh_token="very-secret-1", access_token="very-secret-2")
    assert "very-secret" not in repr(tokens)
    for bad in ({"refresh_token": "very-secret x"}, {"refresh_token": "very-secret", "client_secret": "very-secret"}):
        with pytest.raises(Refused) as caught:
            read(**bad)
        assert "very-secret" not in str(caught.value)
