"""What the web handlers need of the simulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Protocol

from bridge.simulators.carelink_cloud.faults import Faults
from bridge.simulators.carelink_cloud.people import Account, Family, Person
from bridge.simulators.carelink_cloud.served import Served
from bridge.simulators.carelink_cloud.tokens import TokenServer
from bridge.simulators.carelink_cloud.uploads import Picture


class Cloud(Protocol):
    """The simulator as its web pages see it."""

    clock: Callable[[], datetime]
    random: Random
    people: dict[str, Person]
    accounts: dict[str, Account]
    tokens: TokenServer
    faults: Faults
    served: Served
    versions: dict[str, int]
    auto_consent: str | None
    min_app_version: tuple[int, int]
    uploader_allowed: bool

    def picture(self, username: str) -> Picture | None:
        """What the cloud holds of a person now."""
        ...

    def answer(self, picture: Picture, shape: Family) -> bytes:
        """The encoded data answer."""
        ...
