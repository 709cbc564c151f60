"""Fixtures of the whole suite."""

from __future__ import annotations

import os

import pytest

from tests.support.mongod import closing_sockets, mongo

__all__ = ["closing_sockets", "mongo"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One replica set is enough: its tests stay in one process when the suite runs in several.

    A fleet under fire runs by `make chaos` alone: one run in many did not end, and nobody knows why yet.
    """
    under_fire = pytest.mark.skip(reason="runs by `make chaos`, see docs/reliability.md, known limits")
    for item in items:
        if "tests/chaos/" in item.nodeid and "GLUCOBRIDGE_CHAOS" not in os.environ:
            item.add_marker(under_fire)
        if "mongo" in getattr(item, "fixturenames", ()) or "mongo" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("mongo"))
