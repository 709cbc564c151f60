"""One call to CareLink: what is asked on each route, and what every status code means."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from bridge.contracts import Answer, Session
from bridge.errors import BridgeError, Forbidden, Incompatible, Refused, Throttled, Transient, Unauthorised
from bridge.model.health import Health, State
from bridge.readers.carelink_cloud.settings import Role

BODY_LIMIT_BYTES = 8 * 1024 * 1024
TIMEOUT_S = 30.0
_RETRY_CEILING_S = 15 * 60.0
_ERROR_TYPE = re.compile(r"[A-Za-z0-9_. -]{1,60}")


class Route(StrEnum):
    """Where the data of one person comes from."""

    MESSAGE = "message"
    """The app's own data call: pumps with Bluetooth, Simplera."""
    GUARDIAN = "guardian"
    """Guardian Connect and stand-alone transmitters."""
    MONITOR = "monitor"
    """The old monitor page's data, for a patient's own account."""


class Meaning(StrEnum):
    """What an answer says, before its content is decoded."""

    DATA = "data"
    NO_DATA = "no_data"
    TOO_OLD = "app_version_too_old"
    BAD_IDENTITY = "bad_identity"
    SIGN_IN_REFUSED = "sign_in_refused"
    FORBIDDEN = "forbidden"
    NO_PERMISSION = "no_permission"
    GONE = "gone"
    THROTTLED = "throttled"
    OUTAGE = "outage"
    PAGE = "page"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Who:
    """Whose data is asked for, by user names. `patient` is None for a patient's own account."""

    username: str
    role: Role
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it leaves, without its credential."""

    method: str
    url: str
    json: Mapping[str, str] | None = None


_BY_STATUS = {
    204: Meaning.NO_DATA, 206: Meaning.TOO_OLD, 400: Meaning.BAD_IDENTITY, 401: Meaning.SIGN_IN_REFUSED,
    403: Meaning.FORBIDDEN, 404: Meaning.GONE, 408: Meaning.OUTAGE, 429: Meaning.THROTTLED,
}  # fmt: skip


def data_call(route: Route, data_url: str, account_url: str, who: Who, app_version: str) -> Call:
    """The request for a person's last 24 hours on a route."""
    if route is Route.MESSAGE:
        return Call("POST", f"{data_url}/display/message", _message(who, app_version))
    if route is Route.MONITOR:
        return Call("GET", f"{origin(account_url)}/patient/monitor/data")
    if who.patient is None or who.role == "patient":
        return Call("GET", f"{origin(data_url)}/patient/connect/data")
    return Call("GET", f"{origin(data_url)}/patient/m2m/connect/data/gc/patients/{quote(who.patient, safe='')}")


def _message(who: Who, app_version: str) -> dict[str, str]:
    body = {"username": who.username, "role": who.role, "appVersion": app_version}
    if who.role == "carepartner" and who.patient is not None:
        body["patientId"] = who.patient
    return body


def routes(role: Role) -> tuple[Route, ...]:
    """The routes that can carry an account's data, the usual one first."""
    return (Route.MESSAGE, Route.GUARDIAN, Route.MONITOR) if role == "patient" else (Route.MESSAGE, Route.GUARDIAN)


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


async def ask(session: Session, call: Call, user_agent: str, *, authorise: bool = True) -> Answer:
    """Send one call within the deadline. Raises what `Session.request` raises."""
    return await session.request(
        call.method, call.url, json=call.json, authorise=authorise, timeout_s=TIMEOUT_S,
        headers={"Accept": "application/json", "User-Agent": user_agent}, limit_bytes=BODY_LIMIT_BYTES,
    )  # fmt: skip


def meaning(answer: Answer) -> Meaning:
    """What any answer says by its status; a 200 is `DATA` unless it is blank, a web page or an error."""
    known = _BY_STATUS.get(answer.status)
    if known is not None:
        return known
    if answer.status == 200:
        return _of_body(answer)
    return Meaning.OUTAGE if answer.status >= 500 or 300 <= answer.status < 400 else Meaning.REFUSED


def data_meaning(answer: Answer) -> Meaning:
    """As `meaning`, for a data call: a well-formed answer in which nothing was ever uploaded is `NO_DATA`."""
    verdict = meaning(answer)
    if verdict is not Meaning.DATA:
        return verdict
    document = parsed(answer.body)
    return Meaning.NO_DATA if isinstance(document, dict) and not _has_upload(document) else verdict


def _of_body(answer: Answer) -> Meaning:
    start = answer.body[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return Meaning.NO_DATA
    if start.startswith(b"<") or "text/html" in answer.headers.get("content-type", ""):
        return Meaning.PAGE
    document = parsed(answer.body)
    if not isinstance(document, dict) or "error" not in document or "patientData" in document:
        return Meaning.DATA
    return Meaning.NO_PERMISSION if error_type(document) == "NoPermission" else Meaning.REFUSED


def _has_upload(document: Mapping[str, Any]) -> bool:
    patient = document.get("patientData", document)
    if not isinstance(patient, dict) or not patient:
        return False
    if "patientData" not in document and "sgs" not in patient:
        return False
    uploaded_ms = patient.get("lastMedicalDeviceDataUpdateServerTime")
    return not (isinstance(uploaded_ms, int | float) and uploaded_ms <= 1)


@lru_cache(maxsize=1)
def parsed(body: bytes) -> Any:
    """The JSON value of a body; None when it is none (or `null`). Every question about one answer reads it once."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def error_type(document: Mapping[str, Any]) -> str:
    """The kind of error a JSON answer names, empty when it names none in plain words."""
    error = document.get("error")
    kind = error.get("type") if isinstance(error, dict) else error
    return kind if isinstance(kind, str) and _ERROR_TYPE.fullmatch(kind) else ""


def json_object(answer: Answer, what: str, now: datetime | None = None) -> dict[str, Any]:
    """The JSON object of a good answer. Raises the error that its status or content stands for."""
    verdict = meaning(answer)
    if verdict is not Meaning.DATA:
        raise failure(verdict, answer, what, now)
    document = parsed(answer.body)
    if not isinstance(document, dict):
        raise Incompatible(f"CareLink's {what} is not what this version knows.", next_step="Update the program.")
    return document


def failure(verdict: Meaning, answer: Answer, what: str, now: datetime | None = None) -> BridgeError:
    """The error that a bad answer stands for. `what` names the thing asked for, for the sentence."""
    wait_s = retry_after_s(answer.headers, now)
    if verdict is Meaning.THROTTLED:
        return Throttled(f"CareLink asks for patience ({what}).", retry_after_s=wait_s)
    if verdict in (Meaning.OUTAGE, Meaning.PAGE):
        return _outage(verdict, answer.status, what, wait_s)
    if verdict is Meaning.REFUSED:
        return _refused(answer, what)
    make, message, next_step = _FAILURES[verdict]
    state = _STATES.get(verdict)
    return make(message.format(what=what), next_step=next_step, state=None if state is None else state.value)


_SIGN_IN = "Link CareLink again; the account must not be used by another app."
_FAILURES: dict[Meaning, tuple[type[BridgeError], str, str]] = {
    Meaning.SIGN_IN_REFUSED: (Unauthorised, "CareLink refused the sign-in ({what}).", _SIGN_IN),
    Meaning.FORBIDDEN: (
        Forbidden, "CareLink does not let this account read that ({what}).",
        "Check in the CareLink app that the account still follows the person.",
    ),
    Meaning.NO_PERMISSION: (
        Forbidden, "CareLink says that this account has no permission ({what}).",
        "Check in the CareLink app that the account still follows the person.",
    ),
    Meaning.TOO_OLD: (
        Incompatible, "CareLink wants a newer app version than the configured ones.",
        "Raise `message_app_version` in the settings, or update the program.",
    ),
    Meaning.BAD_IDENTITY: (
        Refused, "CareLink refused whom we asked for ({what}).",
        "Check user name, role and patient in the settings; it is asked again every 15 minutes.",
    ),
    Meaning.GONE: (
        Transient, "CareLink's {what} is not at its address any more.",
        "Nothing to do yet: the address is looked up again; if it lasts, update the program.",
    ),
    Meaning.NO_DATA: (Refused, "CareLink answered the {what} with nothing.", "Try again later."),
}  # fmt: skip
_STATES = {
    Meaning.TOO_OLD: State.APP_VERSION_TOO_OLD,
    Meaning.GONE: State.DISCOVERY_UNSUPPORTED,
    Meaning.NO_DATA: State.NO_DATA,
}


def _outage(verdict: Meaning, status: int, what: str, wait_s: float | None) -> Transient:
    why = "answers with a web page" if verdict is Meaning.PAGE else f"answers {status}"
    text = f"CareLink {why} ({what}); it may be under maintenance."
    if wait_s is None:
        return Transient(text)
    error = Throttled(text, retry_after_s=wait_s)
    error.state = State.UNREACHABLE.value
    return error


def _refused(answer: Answer, what: str) -> Refused:
    document = parsed(answer.body)
    kind = error_type(document) if isinstance(document, dict) else ""
    detail = f", naming `{kind}`" if kind else ""
    return Refused(f"CareLink refused the {what} with status {answer.status}{detail}.", next_step="Try again later.")


def health_of(error: BridgeError) -> Health:
    """An error as the state and sentence shown to a person."""
    try:
        return Health(State(error.state), str(error))
    except ValueError:
        return Health(State.REFUSED, str(error))


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds asked for by Retry-After (number or HTTP date), at most 15 min; None when it says nothing usable."""
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        until, asked_at = _http_date(text), _http_date(headers.get("date", "")) or now
        seconds = (until - asked_at).total_seconds() if until and asked_at else None
    return None if seconds is None else min(max(seconds, 0.0), _RETRY_CEILING_S)


def _number(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
