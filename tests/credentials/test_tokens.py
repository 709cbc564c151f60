from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from bridge.contracts import Answer
from bridge.credentials.token_answer import expires_at, failure, retry_after_s, tokens
from bridge.errors import Moved, Refused, Throttled, Transient, Unauthorised
from tests.credentials.idp import jwt
from tests.support.clock import FakeClock

NOW = FakeClock().now()
STAMP = NOW.timestamp()
INVALID_GRANT, INVALID_CLIENT = b'{"error":"invalid_grant"}', b'{"error":"invalid_client"}'
OTHER, PAGE = b'{"error":"invalid_request"}', b"<html>refresh_token=abc</html>"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, INVALID_GRANT, Unauthorised),
        (401, INVALID_GRANT, Unauthorised),
        (403, INVALID_GRANT, Unauthorised),
        (400, INVALID_CLIENT, Moved),
        (401, INVALID_CLIENT, Moved),
        (404, PAGE, Moved),
        (404, OTHER, Moved),
        (400, OTHER, Refused),
        (400, PAGE, Refused),
        (400, b"", Refused),
        (405, PAGE, Refused),
        (401, OTHER, Refused),
        (403, OTHER, Refused),
        (401, PAGE, Transient),
        (403, PAGE, Transient),
        (403, b"", Transient),
        (403, b'"invalid_grant"', Transient),
        (302, b"", Transient),
        (408, b"", Transient),
        (429, b"", Throttled),
        (429, INVALID_GRANT, Throttled),
        (500, b"", Transient),
        (500, INVALID_GRANT, Transient),
        (502, PAGE, Transient),
        (503, OTHER, Transient),
        (504, INVALID_CLIENT, Transient),
    ],
)
def test_every_row_of_the_failure_table(status: int, body: bytes, kind: type[Exception]) -> None:
    error = failure(Answer(status, {}, body), "login.example", NOW)
    assert type(error) is kind
    assert "abc" not in str(error)
    assert "login.example" in str(error)


def test_a_good_status_is_no_failure_and_needs_a_token() -> None:
    good = Answer(200, {}, b'{"access_token":"a"}')
    assert failure(good, "h", NOW) is None
    assert tokens(good) == {"access_token": "a"}
    for body in (b"", b"<html>", b"[]", b"{}", b'{"access_token":""}', b'{"access_token":5}', b'{"access_token"'):
        answer = Answer(200, {}, body)
        assert failure(answer, "h", NOW) is None
        assert tokens(answer) is None


@pytest.mark.parametrize(
    ("fields", "life"),
    [
        ({"access_token": "opaque", "expires_in": 720}, 720),
        ({"access_token": "opaque", "expires_in": "720"}, 720),
        ({"access_token": jwt(STAMP + 500), "expires_in": 720}, 500),
        ({"access_token": jwt(STAMP + 900), "expires_in": 720}, 720),
        ({"access_token": jwt(STAMP + 900)}, 900),
        ({"access_token": jwt(STAMP - 5), "expires_in": 720}, 720),
        ({"access_token": "a.b.c", "expires_in": 720}, 720),
        ({"access_token": "eyJ.eyJ.x", "expires_in": None}, 3600),
        ({"access_token": "opaque", "expires_in": "nan"}, 3600),
        ({"access_token": "opaque", "expires_in": True}, 3600),
        ({"access_token": "opaque", "expires_in": -1}, 3600),
        ({"access_token": "opaque"}, 3600),
    ],
)
def test_the_earlier_of_both_ends(fields: dict[str, Any], life: float) -> None:
    assert expires_at(fields, STAMP) == pytest.approx(STAMP + life)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("0", 0),
        ("-3", 0),
        ("999999", 900),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 900),
    ],
)
def test_patience_as_seconds_or_date_has_a_ceiling(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds
