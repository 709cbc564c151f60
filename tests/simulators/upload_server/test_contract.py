"""The simulated upload server keeps to contract clu-1, spoken to by plain HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import aiohttp
import pytest

from bridge.simulators.serving import serve
from bridge.simulators.upload_server import UploadServer
from tests.support.clock import FakeClock
from tests.support.vectors import document

EXAMPLE = document("carelink-upload", "contract_examples.json")
KEY = EXAMPLE["idempotency_key"]
BODIES = (bytes(range(256)) * 4, EXAMPLE["part_1_text"].encode())
LINES = (
    b'{"kind":"sensor_glucose","time":"2025-01-31T14:50:01Z"}\n'
    b'{"kind":"sensor_glucose","time":"2025-01-31T14:55:03Z"}\n'
    b'{"kind":"bolus","time":"2025-01-31T18:06:00Z"}\n'
)


class Wire:
    """Calls a served server."""

    def __init__(self, server: UploadServer, base: str, http: aiohttp.ClientSession) -> None:
        self.server, self.base, self.http = server, base, http
        self.headers: dict[str, str] = {}
        self.clock = FakeClock()
        server.clock = self.clock.now

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        headers = {**self.headers, **how.pop("headers", {})}
        async with self.http.request(method, self.base + path, headers=headers, **how) as answer:
            body = await answer.read()
            return answer.status, await answer.json() if body and answer.content_type == "application/json" else None

    async def create(self, manifest: dict[str, Any], key: str = KEY) -> tuple[int, Any]:
        return await self.call("POST", "/v1/uploads", json=manifest, headers={"Idempotency-Key": key})

    async def put(self, n: int, body: bytes, digest: bytes | None = None, upload: str = "u1") -> tuple[int, Any]:
        told = base64.b64encode(digest or sha256(body).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{told}:"}
        return await self.call("PUT", f"/v1/uploads/{upload}/parts/{n}", data=body, headers=headers)

    async def complete(self, digest: str, upload: str = "u1") -> tuple[int, Any]:
        return await self.call("POST", f"/v1/uploads/{upload}/complete", json={"sha256": digest})


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    server = UploadServer()
    async with serve(server.app()) as base, aiohttp.ClientSession() as http:
        yield Wire(server, base, http)


def manifest_of(*bodies: bytes) -> dict[str, Any]:
    """A manifest of these parts; the last one holds the records."""
    parts = [
        {
            **EXAMPLE["manifest"]["parts"][n == len(bodies) - 1],
            "n": n,
            "bytes": len(body),
            "sha256": sha256(body).hexdigest(),
        }
        for n, body in enumerate(bodies)
    ]
    lines = "".join(f"{part['n']} {part['bytes']} {part['sha256']}\n" for part in parts)
    return {**EXAMPLE["manifest"], "parts": parts, "sha256": sha256(lines.encode()).hexdigest()}


async def test_every_exchange_of_the_examples(wire: Wire) -> None:
    """In their order, against the example's own manifest, with status and answer as they stand there."""
    expected = {each["name"]: each for each in EXAMPLE["exchanges"]}
    manifest, tampered = EXAMPLE["manifest"], {**EXAMPLE["manifest"], "parts": EXAMPLE["manifest"]["parts"][:1]}
    lines = "".join(f"{p['n']} {p['bytes']} {p['sha256']}\n" for p in tampered["parts"])
    tampered["sha256"] = sha256(lines.encode()).hexdigest()

    def check(name: str, got: tuple[int, Any]) -> None:
        each = expected.pop(name)
        assert got[0] == each["status"], name
        if "response" in each:
            assert got[1] == each["response"], name
        assert each["path"].startswith("/v1/uploads")

    check("create", await wire.create(manifest))
    check("part ok", await wire.put(0, BODIES[0]))
    check("create again, same key and digest", await wire.create(manifest))
    check("create, same key, other digest", await wire.create(tampered))
    check("part repeated", await wire.put(0, BODIES[0]))
    check("part digest wrong", await wire.put(1, BODIES[1], sha256(b"other").digest()))
    check("complete too early", await wire.complete(manifest["sha256"]))
    assert (await wire.put(1, BODIES[1]))[0] == 204
    status, told = await wire.complete(manifest["sha256"])
    check("complete", (status, {"id": told["id"], "state": told["state"]}))
    # the example's record lines are not those of the reading model: its last exchange is played with such lines
    check("state", await _state_of_readable_records(wire))
    assert expected == {}


async def _state_of_readable_records(wire: Wire) -> tuple[int, Any]:
    other = UploadServer()
    async with serve(other.app()) as base:
        again = Wire(other, base, wire.http)
        manifest = manifest_of(BODIES[0], LINES)
        await again.create(manifest)
        for n, body in enumerate((BODIES[0], LINES)):
            assert (await again.put(n, body))[0] == 204
        assert (await again.complete(manifest["sha256"]))[0] == 202
        return await again.call("GET", "/v1/uploads/u1")


async def test_capabilities(wire: Wire) -> None:
    status, told = await wire.call("GET", "/v1/capabilities")
    assert status == 200
    assert set(told) == {"contract", "max_part_bytes", "max_upload_bytes", "accepts", "server_time"}
    assert (told["contract"], told["max_part_bytes"], told["max_upload_bytes"]) == ("clu-1", 4194304, 268435456)
    assert told["accepts"] == ["gzip", "identity"]


@pytest.mark.parametrize(
    "field", ["contract", "account", "device", "window", "reader", "captured_at", "parts", "sha256"]
)
async def test_a_manifest_that_lacks_something_is_invalid(wire: Wire, field: str) -> None:
    manifest = manifest_of(LINES)
    assert (await wire.create({**manifest, field: {}}))[0] == 422
    assert (await wire.create({name: value for name, value in manifest.items() if name != field}))[0] == 422
    assert wire.server.store.uploads == {}


async def test_the_digest_of_completion_must_fit(wire: Wire) -> None:
    manifest = manifest_of(LINES)
    await wire.create(manifest)
    await wire.put(0, LINES)
    status, told = await wire.complete("0" * 64)
    assert (status, told["error"]["code"]) == (422, "digest_mismatch")
    assert (await wire.complete(manifest["sha256"]))[0] == 202
    await wire.call("GET", "/v1/uploads/u1")
    status, told = await wire.complete(manifest["sha256"])
    assert (status, told["state"]) == (200, "complete")


async def test_records_that_are_not_those_announced_are_rejected(wire: Wire) -> None:
    manifest = manifest_of(LINES) | {"data_types": {"bolus": {"count": 3}}}
    await wire.create(manifest)
    await wire.put(0, LINES)
    await wire.complete(manifest["sha256"])
    _, told = await wire.call("GET", "/v1/uploads/u1")
    assert (told["state"], told["errors"]) == ("rejected", [{"code": "other_counts"}])


async def test_an_upload_that_is_not_completed_expires_after_seven_days(wire: Wire) -> None:
    manifest = manifest_of(LINES)
    await wire.create(manifest)
    wire.clock.advance(timedelta(days=7, seconds=1).total_seconds())
    assert (await wire.call("GET", "/v1/uploads/u1"))[0] == 404
    assert (await wire.create(manifest))[1]["id"] == "u2"


async def test_aborting_only_while_it_is_received(wire: Wire) -> None:
    manifest = manifest_of(LINES)
    await wire.create(manifest)
    assert (await wire.call("DELETE", "/v1/uploads/u1"))[0] == 204
    assert (await wire.call("DELETE", "/v1/uploads/u1"))[0] == 404
    await wire.create(manifest)
    await wire.put(0, LINES, upload="u2")
    await wire.complete(manifest["sha256"], "u2")
    assert (await wire.call("DELETE", "/v1/uploads/u2"))[0] == 409


async def test_a_part_too_large_an_unknown_part_and_other_bytes(wire: Wire) -> None:
    wire.server.max_part_bytes = len(LINES) - 1
    await wire.create(manifest_of(LINES))
    assert (await wire.put(0, LINES))[0] == 413
    wire.server.max_part_bytes = 10_000
    assert (await wire.put(7, LINES))[0] == 422
    assert (await wire.put(0, LINES))[0] == 204
    status, told = await wire.put(0, LINES[::-1])
    assert (status, told["error"]["code"]) == (409, "other_digest")


async def test_list_and_coverage_tell_of_complete_uploads_only(wire: Wire) -> None:
    assert await wire.call("GET", "/v1/uploads") == (200, {"recentUploads": []})
    assert (await wire.call("GET", "/v1/coverage"))[1]["end"] is None
    manifest = manifest_of(LINES)
    await wire.create(manifest)
    await wire.put(0, LINES)
    await wire.complete(manifest["sha256"])
    assert await wire.call("GET", "/v1/uploads") == (200, {"recentUploads": []})
    await wire.call("GET", "/v1/uploads/u1")
    _, told = await wire.call("GET", "/v1/uploads?limit=30")
    (entry,) = told["recentUploads"]
    assert set(entry) == {"id", "date", "mobileUploaded", "status", "device", "serialNumber"}
    assert entry["serialNumber"] == EXAMPLE["manifest"]["device"]["serial"]
    _, told = await wire.call("GET", "/v1/coverage")
    assert {each["category"] for each in told["dataProvider"]} == {"bolus", "sensor_glucose"}
    assert told["end"].startswith("2025-01-31T18:06:00")


async def test_rights_are_asked_for(wire: Wire) -> None:
    wire.server.tokens = {"reads": frozenset({"uploads:read"}), "writes": frozenset({"snapshot:write"})}
    assert (await wire.call("GET", "/v1/uploads"))[0] == 401
    wire.headers = {"Authorization": "Bearer writes"}
    assert (await wire.call("GET", "/v1/uploads"))[0] == 403
    assert (await wire.create(manifest_of(LINES)))[0] == 201
    wire.headers = {"Authorization": "Bearer reads"}
    assert (await wire.call("GET", "/v1/uploads"))[0] == 200
    assert (await wire.create(manifest_of(LINES)))[0] == 403
