"""A database that may be harmed: nobody else's tests use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.servers import Cluster, cluster
from tests.support.mongod import HOW_TO_GET_IT, find_mongod


@pytest.fixture(scope="session")
def small_cluster(closing_sockets: None) -> Iterator[Cluster]:
    """Three nodes on small disks, or a skip that says how to get them."""
    program = find_mongod()
    if program is None:
        pytest.skip(HOW_TO_GET_IT)
    with cluster(program) as running:
        yield running
