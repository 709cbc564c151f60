"""A recorded session of each device family, read again through genuine libusb.

The virtual bus of the other tests replaces libusb. Here libusb, pyusb's binding to it and the descriptors are the
real ones; umockdev answers in the kernel's place from the recording, and compares every byte that the reader sends.

What umockdev cannot do is wait: it has no notion of a transfer that times out. Where a reader drains (asks for what
an earlier conversation may have left, and gets nothing), the script holds what the kernel reports for a transfer
that the host gave up, and libusb hands it on at once with nothing in it. libusb's own timer is therefore not
exercised; a script without those lines would answer a drain with the next real message. It also says yes to every
claim and knows of no kernel driver. It looks through its script for the next line that fits rather than insisting on
the order: that is why the transfers are compared as well as the records.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.model.health import State
from tests.usb import umockdev
from tests.usb.recording import IN, Recording, Transfer, recorded
from tests.usb.replayed import Step, Told

pytestmark = pytest.mark.skipif(
    shutil.which("umockdev-run") is None, reason="umockdev-run is missing (Debian package umockdev)"
)
FAMILIES = {
    "contour-next": ("meter_glucose", {}),
    "640g": ("sensor_glucose", {"history_days": 2}),
    "523": ("bolus", {}),
}
"""By virtual device: a kind of record that its session brings, and settings that keep the session short."""


def _replayed(recording: Recording, transfers: Sequence[Transfer], folder: Path) -> Told:
    command = [sys.executable, "-m", "tests.usb.replayed", recording.reader, json.dumps(recording.settings)]
    device, script = umockdev.description(recording.descriptor), umockdev.script(recording.descriptor, transfers)
    ended = umockdev.run(folder, device, script, command)
    assert ended.returncode == 0, ended.stderr
    told: Told = json.loads(ended.stdout)
    return {"batches": told["batches"], "steps": [(way, data) for way, data in told["steps"]]}


def _steps(transfers: Sequence[Transfer]) -> list[Step]:
    return [("in" if each.endpoint & IN else "out", (each.data or b"").hex()) for each in transfers]


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_recorded_session_reads_the_same_through_libusb(name: str, tmp_path: Path) -> None:
    kind, settings = FAMILIES[name]
    recording = await recorded(name, settings)
    (batch,) = recording.batches
    assert batch["state"] == State.OK
    assert kind in {record["kind"] for record in batch["records"]}
    told = _replayed(recording, recording.transfers, tmp_path)
    assert told["batches"] == recording.batches
    assert told["steps"] == _steps(recording.transfers)


async def test_a_host_packet_that_differs_by_a_bit_is_refused(tmp_path: Path) -> None:
    """Else a replay would prove nothing about what leaves."""
    recording = await recorded("contour-next")
    sent = _sent(recording)
    told = _replayed(recording, _garbled(recording.transfers, sent[len(sent) // 2]), tmp_path)
    assert [(batch["state"], batch["records"]) for batch in told["batches"]] == [(State.UNPLUGGED, [])]


async def test_a_replay_shows_a_last_packet_that_differs_though_the_reader_forgives_it(tmp_path: Path) -> None:
    recording = await recorded("contour-next")
    told = _replayed(recording, _garbled(recording.transfers, _sent(recording)[-1]), tmp_path)
    assert told["batches"] == recording.batches
    assert told["steps"] != _steps(recording.transfers)


def _sent(recording: Recording) -> list[int]:
    """Which of the transfers left the host."""
    return [number for number, each in enumerate(recording.transfers) if not each.endpoint & IN]


def _garbled(transfers: Sequence[Transfer], number: int) -> list[Transfer]:
    """The transfers with the last bit of one changed."""
    data = transfers[number].data or b""
    wrong = replace(transfers[number], data=data[:-1] + bytes([data[-1] ^ 1]))
    return [*transfers[:number], wrong, *transfers[number + 1 :]]
