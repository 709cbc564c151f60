"""A cloud behind the proxy: discovery leads through it, a lost acknowledgement spends the token."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.simulators.carelink_cloud import CARER
from bridge.simulators.fault_proxy import FaultProxy, ProxyFault
from bridge.simulators.serving import serve
from tests.simulators.carelink.cloud import Client, cloud


async def test_addresses_lead_through_the_proxy() -> None:
    sim, _ = cloud()
    async with serve(sim.app()) as upstream, FaultProxy(upstream) as base, aiohttp.ClientSession() as http:
        async with http.get(f"{base}/connect/carepartner/v13/discover/android/3.8") as answer:
            document = await answer.json()
        async with http.get(document["CP"][1]["Auth0SSOConfiguration"]) as answer:
            server = (await answer.json())["server"]
    assert document["CP"][1]["baseUrlCumulus"] == f"{base}/connect/carepartner/v13"
    assert f"http://{server['hostname']}:{server['port']}" == base != upstream


async def test_a_lost_acknowledgement_of_a_refresh() -> None:
    sim, _ = cloud()
    sim.tokens.reuse_leeway_s = 10
    proxy = FaultProxy("")
    async with serve(sim.app()) as upstream, aiohttp.ClientSession() as http:
        proxy.upstream = upstream
        async with proxy as base:
            client = Client(sim, base, http)
            token = client.sign_in(CARER)["refresh_token"]
            proxy.storm(ProxyFault("cut_after"))
            with pytest.raises(aiohttp.ClientError):
                await _refresh(client, token)
            proxy.calm()
            assert sim.tokens.refreshes == 1
            assert await _refresh(client, token) == 200


async def _refresh(client: Client, token: str) -> int:
    async with client.refresh(token) as answer:
        return answer.status
