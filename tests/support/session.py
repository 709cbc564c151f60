"""A plain `Session` for adapter and reader tests: one header, one aiohttp client, loop-back only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from bridge.contracts import Answer
from bridge.errors import Transient


class PlainSession:
    """Sends a fixed header; `renewed` counts calls of `renew`, which swaps in the next of `tokens`."""

    def __init__(self, client: aiohttp.ClientSession, header: str = "Authorization", *tokens: str) -> None:
        self.client, self.header, self.tokens, self.renewed = client, header, list(tokens), 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: Any = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorise: bool = True,
        timeout_s: float = 30.0,
        limit_bytes: int = 8 * 1024 * 1024,
    ) -> Answer:
        sent = dict(headers or {})
        token = self.tokens[0] if self.tokens else ""
        if authorise and token:
            sent[self.header] = f"Bearer {token}" if self.header == "Authorization" else token
        try:
            async with self.client.request(
                method, url.replace("{token}", token), params=params, json=json, data=data, headers=sent,
                timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False,
            ) as answer:  # fmt: skip
                body = (await answer.read())[:limit_bytes]
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, lower, body, url)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"{type(error).__name__} while asking {url.split('?')[0]}.") from error

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        self.renewed += 1
        if len(self.tokens) > 1:
            self.tokens.pop(0)
