"""A recorded session of each device family, read again through genuine libusb.

The virtual bus of the other tests replaces libusb. Here libusb, pyusb's binding to it and the descriptors are the
real ones; umockdev answers in the kernel's place from the recording, and compares every byte that the reader sends.

What umockdev cannot do is wait: it has no notion of a transfer that times out. Where a reader drains (asks for what
an earlier conversation may have left, and gets nothing), the script holds what the kernel reports for a transfer
that the host gave up, and libusb hands it on at once with nothing in it. libusb's own timer is therefore not
exercised; a script without those lines would answer a drain with the next real message.
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
FAMILIES = {"contour-next": {"glucose_meter"}, "640g": {"bolus"}, "523": {"bolus"}}


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
    recording = await recorded(name)
    (batch,) = recording.batches
    assert batch["state"] == State.OK
    assert FAMILIES[name] <= {record["kind"] for record in batch["records"]}
    told = _replayed(recording, recording.transfers, tmp_path)
    assert told["batches"] == recording.batches
    assert told["steps"] == _steps(recording.transfers)


async def test_a_replay_fails_where_the_host_sends_something_else(tmp_path: Path) -> None:
    """Else the replay would prove nothing about what leaves."""
    recording = await recorded("contour-next")
    sent = [number for number, each in enumerate(recording.transfers) if not each.endpoint & IN]
    middle = sent[len(sent) // 2]
    told = _replayed(recording, _garbled(recording.transfers, middle), tmp_path)
    assert [batch["state"] for batch in told["batches"]] == [State.UNPLUGGED]  # the kernel refuses the transfer
    assert told["steps"] == _steps(recording.transfers[:middle])


def _garbled(transfers: Sequence[Transfer], number: int) -> list[Transfer]:
    """The transfers with the last byte of one changed."""
    data = transfers[number].data or b""
    wrong = replace(transfers[number], data=data[:-1] + bytes([data[-1] ^ 1]))
    return [*transfers[:number], wrong, *transfers[number + 1 :]]
