"""The compose file of a fleet, held against our own settings. It is only read: no engine for containers is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo.uri_parser import parse_uri

from bridge.engine.fleet import DRAIN_S
from bridge.settings import load_settings

ROOT = Path(__file__).parents[1]


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.fleet.yaml").read_text("utf-8"))
    return found["services"]


def _workers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in services.items() if each["image"] == "glucobridge"}


def test_workers_have_settings_that_fit_one_database_and_names_of_their_own(
    services: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "glucobridge.toml").write_text('installation = "x"\n')
    loaded = [load_settings(tmp_path, each["environment"]).journal for each in _workers(services).values()]
    assert len(loaded) == len({each.worker for each in loaded}) == 2
    assert len({(each.database, each.share, each.uri) for each in loaded}) == 1
    uri = loaded[0].uri
    assert uri is not None
    parsed = parse_uri(uri.get_secret_value())
    nodes = {name for name, each in services.items() if "--replSet" in each.get("command", [])}
    assert {host for host, _ in parsed["nodelist"]} == nodes
    assert len(nodes) == 3


def test_the_set_is_made_of_those_nodes_before_a_worker_starts(services: dict[str, Any]) -> None:
    script = services["replica-set"]["command"][-1]
    nodes = set(services["replica-set"]["depends_on"])
    assert set(re.findall(r'host: "([a-z0-9-]+):27017"', script)) == nodes
    names = {services[node]["command"][services[node]["command"].index("--replSet") + 1] for node in nodes}
    assert names == {re.findall(r'_id: "([a-z0-9]+)"', script)[0]} == {"rs0"}
    for worker in _workers(services).values():
        assert worker["depends_on"] == {"replica-set": {"condition": "service_completed_successfully"}}
    assert len({services[node]["volumes"][0] for node in nodes}) == 3


def test_nothing_of_the_database_is_reachable_from_outside(services: dict[str, Any]) -> None:
    published = [port for each in services.values() for port in each.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:8787:8787", "127.0.0.1:8788:8787"]
    for name, each in services.items():
        assert "ports" not in each or name.startswith("worker")
        assert each["networks"] == (["database", "out"] if name.startswith("worker") else ["database"])


def test_a_worker_has_the_time_to_hand_over(services: dict[str, Any]) -> None:
    for worker in _workers(services).values():
        assert float(worker["stop_grace_period"].removesuffix("s")) > 2 * DRAIN_S
        assert worker["volumes"] == ["data:/data"]
        assert worker["read_only"] is True
