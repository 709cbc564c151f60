"""Fixtures of the whole suite."""

from __future__ import annotations

import pytest

from tests.support.mongod import closing_sockets, mongo

__all__ = ["closing_sockets", "mongo"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One replica set is enough: its tests stay in one process when the suite runs in several.

    A fleet under fire harms its own set, in another process.
    """
    for item in items:
        if "tests/chaos/" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("chaos"))
        elif "mongo" in getattr(item, "fixturenames", ()) or "mongo" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("mongo"))
