"""Transport `observe`: nothing is sent, and nothing is claimed."""

from __future__ import annotations

from random import Random

import pytest
from pydantic import ValidationError

from bridge.contracts import Sent, Setup, Snapshot, Trigger
from bridge.uploader import ObserveSettings, ObserveTransport
from tests.support.clock import FakeClock
from tests.uploader.facts import request


def transport() -> ObserveTransport:
    return ObserveTransport(Setup("p1", {}, FakeClock(), Random(1)))


def test_it_neither_pushes_nor_triggers() -> None:
    can = transport().capabilities
    assert (can.can_push, can.can_trigger, can.needs_user, can.targets_medtronic) == (False, False, False, True)
    assert can.min_interval_s == 3600


async def test_it_only_looks_and_says_how_a_person_can_have_the_phone_upload() -> None:
    observe = transport()
    assert await observe.preflight(request()) == ""
    by_schedule = await observe.upload(request(trigger=Trigger.SCHEDULE), Snapshot([]))
    by_hand = await observe.upload(request(trigger=Trigger.MANUAL), Snapshot([]))
    assert by_schedule.state is by_hand.state is Sent.RAN
    assert "Sync or Upload" in by_hand.detail
    assert "Sync or Upload" not in by_schedule.detail
    assert "read back" in by_schedule.detail
    await observe.cancel()


def test_there_is_nothing_else_to_set() -> None:
    with pytest.raises(ValidationError):
        ObserveSettings.model_validate({"url": "https://example.org"})
