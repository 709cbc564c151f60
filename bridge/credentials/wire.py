"""One request and its whole answer: deadline, byte limit, no cookies, no redirects, plain errors."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from bridge import __version__
from bridge.contracts import Answer
from bridge.credentials.hosts import host_of
from bridge.errors import ContractViolation, Transient

_CONNECT_S = 15.0
_CHUNK_BYTES = 64 * 1024
_AT_ONCE, PER_HOST = 32, 8

Query = Mapping[str, str] | Sequence[tuple[str, str]] | None


@dataclass(frozen=True, slots=True)
class Call:
    """A request ready to leave. Its repr shows neither query, headers nor body."""

    method: str
    url: URL = field(repr=False)
    params: Query = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    data: bytes | Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 30.0
    limit_bytes: int = 8 * 1024 * 1024
    shown: str = field(default="", repr=False)
    """The address as the caller wrote it, without an inserted token; becomes `Answer.url`."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """An outage. `sent`: the other side may have received and done what was asked."""

    error: Transient
    sent: bool


def http_client(per_host: int | None = PER_HOST) -> aiohttp.ClientSession:
    """The one client all sessions share: it keeps no cookies and reads no proxy or login from the environment.

    `per_host`: connections to one host at most; None where the caller counts them.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=_AT_ONCE, limit_per_host=per_host or 0),
        headers={"User-Agent": f"glucobridge/{__version__}"},
    )


async def attempt(client: aiohttp.ClientSession, call: Call) -> Answer | NoAnswer:
    """The answer of any status, or what kept it away. Redirects come back as answers."""
    host = host_of(call.url)
    timeout = aiohttp.ClientTimeout(total=call.timeout_s, sock_connect=min(_CONNECT_S, call.timeout_s))
    try:
        async with client.request(
            call.method, call.url, params=call.params, json=call.json, data=call.data, headers=call.headers,
            timeout=timeout, allow_redirects=False,
        ) as response:  # fmt: skip
            return await _whole(response, call, host)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _explained(error, host, call.timeout_s)
    except (ValueError, TypeError):
        pass
    raise ContractViolation(f"A request to {host} had a header, query or body that HTTP cannot carry.")


async def send(client: aiohttp.ClientSession, call: Call) -> Answer:
    """The answer. Raises Transient naming the host alone; nothing of the request hangs on the error."""
    outcome = await attempt(client, call)
    if isinstance(outcome, NoAnswer):
        raise outcome.error
    return outcome


async def _whole(response: aiohttp.ClientResponse, call: Call, host: str) -> Answer | NoAnswer:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > call.limit_bytes:
            response.close()
            return NoAnswer(Transient(f"The answer of {host} is larger than {call.limit_bytes} bytes."), sent=True)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, bytes(body), call.shown or str(call.url.with_query(None)))


def _explained(error: BaseException, host: str, timeout_s: float) -> NoAnswer:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NoAnswer(Transient(f"The name {host} cannot be found.", next_step="Check the network."), sent=False)
    if isinstance(error, aiohttp.ClientSSLError):
        return NoAnswer(Transient(f"No secure connection to {host}: its certificate or TLS failed."), sent=False)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return NoAnswer(Transient(f"{host} cannot be reached."), sent=False)
    if isinstance(error, TimeoutError):
        return NoAnswer(Transient(f"{host} did not answer within {timeout_s:g} s."), sent=True)
    if isinstance(error, ssl.SSLError):
        return NoAnswer(Transient(f"The secure connection to {host} broke."), sent=True)
    return NoAnswer(Transient(f"The connection to {host} broke before its answer was complete."), sent=True)
