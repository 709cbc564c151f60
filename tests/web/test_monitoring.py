"""The dashboard and the alert rules name metrics and labels that the service really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bridge.contracts import Attendance, DeliveryState, Destination, DestinationStatus, ReaderStatus
from bridge.engine.engine import PERSON, Engine
from bridge.model.health import Health, State
from bridge.web.metrics import exposition

PLACE = Path(__file__).parents[2] / "docs" / "monitoring"
NOW = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
FROM_PROMETHEUS = {"instance", "job"}
_METRIC = re.compile(r"\b(glucobridge_[a-z_]+)\b")
_SELECTOR = re.compile(r"\b(glucobridge_[a-z_]+)\{([^}]*)\}")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")
_SHOWN = re.compile(r"\$labels\.([a-z_]+)")
_STATE = re.compile(r'state=~?"([a-z_|]+)"')


class _Journal:
    """Somebody who waits for a person, and somebody of another worker."""

    async def destinations(self) -> list[DestinationStatus]:
        counts = dict.fromkeys(DeliveryState, 1)
        health = Health(State.LOGIN_REQUIRED, "")
        return [
            DestinationStatus(Destination(name, "nightscout"), counts, health, NOW, NOW) for name in ("p1", "theirs")
        ]

    async def readers(self) -> list[ReaderStatus]:
        return [ReaderStatus(name, "carelink-cloud", Health(), NOW, NOW, NOW) for name in ("p1", "theirs")]


class _Engine:
    journal, crashes, people = _Journal(), 0, frozenset({"p1"})


async def _attending() -> Attendance:
    return Attendance(people=2, unserved=1, workers=1, lost=0)


@pytest.fixture
async def known() -> Mapping[str, set[str]]:
    """Labels by name of everything that is exposed."""
    engine: Any = _Engine()
    body, _ = await exposition(engine, _attending)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    """Everything that is asked of Prometheus."""
    rules = yaml.safe_load((PLACE / "alerts.yml").read_text("utf-8"))
    for group in rules["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    board = json.loads((PLACE / "grafana.json").read_text("utf-8"))
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    yield from (each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query")


async def test_every_metric_and_label_that_is_asked_for_exists(known: Mapping[str, set[str]]) -> None:
    asked = list(expressions())
    assert len(asked) > 25
    for expression in asked:
        named = set(_METRIC.findall(expression))
        assert named <= known.keys(), expression
        assert named or "up{" in expression, expression
        for metric, selector in _SELECTOR.findall(expression):
            labels = {part.split("=")[0].strip(" ~!") for part in selector.split(",")}
            assert labels <= known[metric] | FROM_PROMETHEUS, expression
        for grouping in _GROUPING.findall(expression):
            labels = {label.strip() for label in grouping.split(",")}
            assert labels <= set().union(*(known[name] for name in named)) | FROM_PROMETHEUS, expression
        for states in _STATE.findall(expression):
            assert set(states.split("|")) <= {str(state) for state in DeliveryState}, expression


async def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule(known: Mapping[str, set[str]]) -> None:
    named = set(_METRIC.findall(" ".join(expressions())))
    assert {name for name in known if name.startswith("glucobridge_")} - named == set()


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load((PLACE / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names)) >= 8
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}
        grouped = {label.strip() for found in _GROUPING.findall(rule["expr"]) for label in found.split(",")}
        assert set(_SHOWN.findall(str(rule["annotations"]))) <= grouped | FROM_PROMETHEUS, rule


async def test_a_worker_tells_of_its_own_people_and_a_lone_engine_of_all(known: Mapping[str, set[str]]) -> None:
    engine: Any = _Engine()
    own, everybody = [(await exposition(engine, each))[0].decode() for each in (_attending, None)]
    assert "theirs" not in own
    assert "theirs" in everybody
    assert "glucobridge_fleet" not in everybody
    assert "glucobridge_fleet_people_unserved 1.0" in own
    assert 'glucobridge_needs_person{part="nightscout",profile="p1",state="login_required"} 1.0' in own
    assert State.LOGIN_REQUIRED in PERSON
    assert isinstance(Engine.people, property)
