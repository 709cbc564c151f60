"""What a handler ends with when it is not a plain 200: the site's own error bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class Ended(Exception):
    """The request ends here, with this status and JSON body."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class ServerDied(Exception):
    """The server process exits: the connection is reset."""


def as_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer as express writes it."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def unauthorized() -> Ended:
    """v1 and v2: bad credential and missing permission look the same."""
    return Ended(401, {"status": 401, "message": "Unauthorized", "description": "Invalid/Missing"})


def mongo_error(description: Any) -> Ended:
    """The database refused."""
    return Ended(500, {"status": 500, "message": "Mongo Error", "description": description})


def bulk_error(index: int, code: int, text: str) -> Ended:
    """An ordered bulk stopped at `index`: what was before is stored."""
    return mongo_error({"code": code, "writeErrors": [{"index": index, "code": code, "errmsg": text}]})


def parser_error(status: int, message: str, kind: str, **more: Any) -> Ended:
    """The body parser gave up; the site adds a stack, left out here."""
    return Ended(
        status,
        {"error": {"message": message, "expose": True, "statusCode": status, "status": status, **more, "type": kind}},
    )


def v3_error(status: int, message: str | None = None) -> Ended:
    """API v3's short form."""
    body: dict[str, Any] = {"status": status}
    return Ended(status, body | {"message": message} if message else body)
