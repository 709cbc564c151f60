"""What the service answers, to whom, and what it never says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from pydantic import SecretStr

from bridge.errors import SettingsInvalid
from bridge.settings import ServiceSettings
from bridge.web import service
from tests.support.clock import FakeClock
from tests.support.house import built

EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)


async def test_it_answers_and_names_nobody(tmp_path: Path) -> None:
    async with built(tmp_path, FakeClock(EVENING)) as house, house.engine() as engine:
        await engine.once()
        async with TestClient(TestServer(service.application(engine, ServiceSettings()))) as client:
            bodies = {}
            for path in ("/healthz", "/readyz", "/metrics"):
                answer = await client.get(path)
                assert answer.status == 200
                bodies[path] = await answer.text()
        assert 'glucobridge_deliveries{destination="nightscout",profile="p1",state="accepted"}' in bodies["/metrics"]
        for body in bodies.values():
            assert not [word for word in ("Robin", "Example", "patient1") if word in body]
        assert "p1" not in bodies["/healthz"] + bodies["/readyz"]


async def test_with_a_token_only_the_open_paths_answer_without_it(tmp_path: Path) -> None:
    settings = ServiceSettings(token=SecretStr("invented-service-token"))
    async with (
        built(tmp_path, FakeClock(EVENING)) as house,
        house.engine() as engine,
        TestClient(TestServer(service.application(engine, settings))) as client,
    ):
        paths = ("/healthz", "/readyz", "/metrics", "/nowhere")
        statuses = {path: (await client.get(path)).status for path in paths}
        assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 401, "/nowhere": 401}
        right = {"Authorization": "Bearer invented-service-token"}
        assert (await client.get("/metrics", headers=right)).status == 200
        wrong = {"Authorization": "Bearer invented-service-tokem"}
        assert (await client.get("/metrics", headers=wrong)).status == 401


@pytest.mark.parametrize(
    ("remote", "local"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), (None, False)]
)
def test_loop_back_is_known_by_its_address(remote: str | None, local: bool) -> None:
    assert service._is_loopback(remote) is local
    assert make_mocked_request("GET", "/metrics").path not in service._OPEN


async def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    async with built(tmp_path, FakeClock(EVENING)) as house, house.engine() as engine:
        async with service.serving(engine, ServiceSettings(port=0)) as port:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            with pytest.raises(SettingsInvalid, match=r"service\.port"):
                async with service.serving(engine, ServiceSettings(port=port)):
                    pass
