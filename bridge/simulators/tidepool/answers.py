"""Answers in the service's own shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from bridge.simulators.tidepool.rules import Fault


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.json_response(text=text, status=status, headers=headers)


def trace_id(request: web.Request) -> str:
    """The id of this request, as in the trace header."""
    return str(request["trace"])


def wrapped(request: web.Request, data: Any, status: int = 200) -> web.Response:
    """`{"data", "meta"}`."""
    return answer({"data": data, "meta": {"trace": {"request": trace_id(request)}}}, status)


def unauthenticated() -> web.Response:
    """401."""
    title = "authentication token is invalid"
    return answer({"code": "unauthenticated", "title": title, "detail": title}, 401)


def service_error(request: web.Request, status: int, code: str, title: str, detail: str) -> web.Response:
    """The envelope of service-level errors."""
    error = {"code": code, "title": title, "detail": detail, "status": str(status)}
    return answer({"errors": [error], "meta": {"trace": {"request": trace_id(request)}}}, status)


def forbidden(request: web.Request) -> web.Response:
    """403."""
    title = "auth token is not authorized for requested action"
    return service_error(request, 403, "unauthorized", title, title.capitalize())


def malformed(request: web.Request) -> web.Response:
    """400: not JSON, or not an array."""
    return service_error(request, 400, "json-malformed", "json is malformed", "JSON is malformed")


def failure(request: web.Request) -> web.Response:
    """500."""
    title = "internal server failure"
    return service_error(request, 500, "internal-server-failure", title, title.capitalize())


def refused(faults: Sequence[Fault], *, pointers: bool = True) -> web.Response:
    """400 with one error bare, or several in a list."""
    errors = [found.as_error() for found in faults]
    if not pointers:
        errors = [{name: value for name, value in error.items() if name != "source"} for error in errors]
    return answer(errors[0] if len(errors) == 1 else {"errors": errors}, 400)


def bad_parameter(name: str, code: str, title: str, detail: str) -> web.Response:
    """400 for a query parameter."""
    return answer({"code": code, "title": title, "detail": detail, "source": {"parameter": name}}, 400)
