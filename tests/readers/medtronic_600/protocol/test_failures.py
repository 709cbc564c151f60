"""Each failure ends as a named state, keeps what was whole, closes the meter, and the next pass completes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import NotAllowed
from bridge.readers.medtronic_600.comd import Comd
from bridge.readers.medtronic_600.session import Session
from bridge.readers.medtronic_600.talk import NAK_STATES
from bridge.simulators.next_link import Faults, NextLink
from bridge.usb import PyUsbBus
from tests.readers.medtronic_600.protocol.world import MODEL_SERIAL, PATIENT, PUMP, World, world


def _fault(**knobs: Any) -> Callable[[World], None]:
    def set_all(there: World) -> None:
        for name, value in knobs.items():
            setattr(there.faults, name, value)

    return set_all


CASES: dict[str, tuple[Callable[[World], None], str, bool]] = {
    "out of range": (_fault(out_of_range=True), "out_of_range", False),
    "network names another channel": (_fault(wrong_channel=True), "out_of_range", False),
    "alarm on the pump": (_fault(nak=0x07), "pump_alarm", False),
    "busy": (_fault(nak=0x0C), "pump_busy", False),
    "still sending": (_fault(nak=0x0F), "pump_busy", False),
    "alarm before the history": (_fault(nak=0x07, nak_command=0x0304), "pump_alarm", True),
    "refused": (_fault(nak=0x04), "refused", False),
    "meter dead": (_fault(e86=True), "meter_error", False),
    "meter dies on the way": (_fault(e86_after_messages=12), "meter_error", False),
    "meter dies in the history": (_fault(e86_after_messages=30), "meter_error", True),
    "noisy radio": (_fault(busy_radio=99), "pump_busy", False),
    "pump silent": (_fault(no_answers=99), "out_of_range", False),
    "connection lost": (_fault(connection_lost_at=0x0112), "out_of_range", False),
    "connection lost in the history": (_fault(connection_lost_at=0x0304), "out_of_range", True),
    "segments stop": (_fault(silent_after_segment=20), "incomplete", True),
    "segments hardly begin": (_fault(silent_after_segment=1), "incomplete", True),
    "a segment never comes": (_fault(lost_segments={5}, lost_times=999), "incomplete", True),
    "clock not set": (_fault(clock_not_set=True), "clock_not_set", False),
    "no pump linked": (_fault(unlinked=True), "not_linked", False),
    "no key": (_fault(keyless=True), "not_linked", False),
    "another key": (_fault(wrong_key=True), "not_linked", False),
}


@pytest.mark.parametrize("name", CASES)
async def test_failure_is_named_and_over_afterwards(name: str) -> None:
    spoil, state, something = CASES[name]
    there = world(patient=PATIENT, settings={"history_days": 2})
    spoil(there)
    batch = await there.one()
    assert batch.health.state.value == state
    assert batch.health.text.endswith(".")
    assert PUMP not in batch.health.text
    assert (batch.decoded is not None) is something
    assert there.backend.opened == 0
    assert not there.link.refused
    await _completes(there)


async def _completes(there: World) -> None:
    """With the trouble over (and the meter replugged when it was dead) the next pass reads everything."""
    dead = there.link.faults.e86 or there.link.faults.e86_after_messages is not None
    there.link.faults = Faults()
    if dead:
        there.link.power_cycle()
    there.clock.advance(900)
    batch = await there.one()
    assert batch.health.state.value == "ok"
    history = json.loads(batch.capture.body)["history"] if batch.capture else {}
    assert all(history.values())


async def test_meter_is_handed_back_after_each_failure() -> None:
    for name, (spoil, state, _) in CASES.items():
        if state == "meter_error":
            continue
        there = world(patient=PATIENT, settings={"history_days": 1})
        spoil(there)
        await there.one()
        assert there.link.resting, name
        assert there.link.log[-5:] == ["op 11", "W|", "Q|", "0|", "04"], name
        assert there.link.read(0x83, 64, 0.1) is None, name


async def test_a_transfer_that_hardly_began_is_not_asked_for_again() -> None:
    there = world(patient=PATIENT, settings={"history_days": 2})
    there.faults.silent_after_segment = 1
    assert (await there.one()).health.state.value == "incomplete"
    assert Comd.RESEND not in there.pump.heard
    second = world(patient=PATIENT, settings={"history_days": 2})
    second.faults.silent_after_segment = 20
    assert (await second.one()).health.state.value == "incomplete"
    assert second.pump.heard.count(Comd.RESEND) == 10


async def test_what_was_whole_before_a_failure_is_kept_and_the_cursor_stays() -> None:
    there = world(patient=PATIENT)
    there.faults.silent_after_segment = 60
    batch = await there.one()
    assert batch.health.state.value == "incomplete"
    said = json.loads(batch.capture.body) if batch.capture else {}
    assert list(said["answers"]) == ["0407", "013c"]
    assert said["history"] == {"02": [], "03": []}
    assert there.kept["covered"] == {"02": []}
    assert there.kept["owed"] == ["02", "03"]
    there.faults.silent_after_segment = None
    there.clock.advance(120)
    assert all(json.loads((await there.one()).capture.body)["history"].values())  # type: ignore[union-attr]
    assert there.kept["owed"] == []


async def test_only_whole_pages_are_kept() -> None:
    there = world(patient=PATIENT)
    whole = json.loads((await there.one()).capture.body)["history"]["02"]  # type: ignore[union-attr]
    second = world(patient=PATIENT)
    segments = -(-len(whole[0]) // 2 // 94)
    second.faults.gone_after_words = 2 + 1 + 2 + segments + 20
    batch = await second.one()
    history = json.loads(batch.capture.body)["history"]["02"]  # type: ignore[union-attr]
    assert history == whole[:1]
    assert second.kept["covered"]["02"] == []


async def test_a_question_that_the_pump_does_not_know_is_not_asked_again() -> None:
    there = world(patient=PATIENT, settings={"history_days": 1})
    there.faults.nak, there.faults.nak_command = 0x08, Comd.READ_CHARACTERISTICS
    batch = await there.one()
    assert batch.health.state.value == "refused"
    assert all(json.loads(batch.capture.body)["history"].values())  # type: ignore[union-attr]
    assert there.kept["never"] == [Comd.READ_CHARACTERISTICS]
    there.clock.advance(3650)
    batch = await there.one()
    assert batch.health.state.value == "ok"
    answers = json.loads(batch.capture.body)["answers"]  # type: ignore[union-attr]
    assert "0201" not in answers
    assert "0139" in answers


async def test_settings_that_stay_unanswered_do_not_keep_the_rest_away() -> None:
    there = world(settings={"history_days": 1})
    there.faults.connection_lost_at = Comd.READ_CHARACTERISTICS
    assert (await there.one()).health.state.value == "out_of_range"
    for _ in range(10):
        there.clock.advance(320)
        assert (await there.one()).health.state.value == "ok"
    there.clock.advance(3600)
    there.faults.connection_lost_at = None
    assert "0201" in json.loads((await there.one()).capture.body)["answers"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "knobs",
    [
        {"strays": 3},
        {"busy_radio": 1},
        {"no_answers": 1},
        {"no_answers": 2},
        {"enq_first": True},
        {"lost_segments": set(range(0, 500, 3))},
        {"lost_segments": {0}, "lost_times": 8},
        {"duplicate_segments": set(range(500))},
        {"swapped_segments": {0, 2, 4, 50}},
        {"lost_segments": {1, 2, 3, 40}, "duplicate_segments": {0, 4}, "swapped_segments": {10}, "strays": 1},
        {"empty_history": True},
    ],
    ids=lambda knobs: "-".join(f"{name}{len(str(value))}" for name, value in knobs.items()),
)
async def test_a_disturbed_visit_reads_the_same(knobs: dict[str, Any]) -> None:
    calm = world(patient=PATIENT, settings={"history_days": 2})
    wanted = json.loads((await calm.one()).capture.body)  # type: ignore[union-attr]
    there = world(patient=PATIENT, settings={"history_days": 2})
    _fault(**knobs)(there)
    batch = await there.one()
    assert batch.health.state.value == "ok"
    found = json.loads(batch.capture.body)  # type: ignore[union-attr]
    if "empty_history" in knobs:
        assert found["history"] == {"02": [], "03": []}
        assert there.kept["covered"] == calm.kept["covered"]
        return
    assert found["history"] == wanted["history"]
    assert {name: answer[2:] for name, answer in found["answers"].items() if name not in ("0407", "013c")} == {
        name: answer[2:] for name, answer in wanted["answers"].items() if name not in ("0407", "013c")
    }


async def test_a_damaged_answer_is_asked_for_again_but_not_the_first() -> None:
    there = world()
    there.faults.damaged_words = {1}
    assert (await there.one()).health.state.value == "not_linked"
    second = world()
    second.faults.damaged_words = {2, 5, 40}
    assert (await second.one()).health.state.value == "ok"


@pytest.mark.parametrize("code", range(0x18))
async def test_every_refusal_has_a_state(code: int) -> None:
    there = world()
    there.faults.nak = code
    assert (await there.one()).health.state.value == NAK_STATES.get(code, "refused")
    assert there.pump.heard.count(Comd.READ_TIME) == 1


async def test_many_visits_without_a_pump_say_what_may_help() -> None:
    there = world()
    there.faults.out_of_range = True
    for _ in range(10):
        batch = await there.one()
        there.until_due(batch)
    assert "10 visits in a row" in batch.health.text


async def test_retry_near_the_sensors_moment_tries_the_last_channel_only() -> None:
    there = world(patient=PATIENT, settings={"history_days": 1})
    await there.one()
    at = there.pump.clock.instant(there.kept["glance"]["sensor_rtc"])
    there.faults.out_of_range = True
    joins = []
    for seconds in (940, 1245, 1430):
        there.clock.advance((at - there.clock.now()).total_seconds() + seconds)
        there.link.joins.clear()
        await there.one()
        joins.append(list(there.link.joins))
    assert joins == [[0x14, 0x11, 0x0E, 0x17, 0x1A], [0x14], [0x14, 0x11, 0x0E, 0x17, 0x1A]]


async def test_usb_trouble_has_its_names() -> None:
    there = world()
    there.backend.forbidden = True
    assert (await there.one()).health.state.value == "usb_permission"
    there.backend.forbidden = False
    there.clock.advance(60)
    assert (await there.one()).health.state.value == "ok"


async def _ask_what_may_not_be_asked(there: World) -> None:
    bus = PyUsbBus(backend=there.backend)
    (device,) = await bus.devices()
    async with bus.open(device, 3) as port, Session(port, there.clock) as session:
        info = await session.identify_meter()
        assert info.model_serial == MODEL_SERIAL
        await session.identify_pump(info)
        await session.join((0x14,))
        assert session.talk is not None
        await session.talk.ask(Comd.NAK, b"", Comd.TIME)


async def test_a_bug_is_not_hidden_and_the_meter_is_closed_all_the_same() -> None:
    there = world()
    with pytest.raises(NotAllowed):
        await _ask_what_may_not_be_asked(there)
    assert there.link.resting
    assert Comd.NAK not in there.pump.heard
    assert there.backend.opened == 0


async def test_memory_of_another_kind_is_no_trouble() -> None:
    there = world()
    for state in ({"io": 3}, {"io": {"pumps": [1]}}, {"io": {"pumps": {PUMP: {"glance": {"x": 1}, "channel": "a"}}}}):
        there.memory = Memory(state=state)
        there.clock.advance(320)
        assert (await there.one()).health.state.value == "ok"


def test_faults_are_plain() -> None:
    assert Faults() == NextLink(None).faults
