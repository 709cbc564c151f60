"""Transport `vendor`: real little programs, ended with all that they started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contracts import Clock, DeviceRef, Sent, Setup, Snapshot, TransportResult, Trigger
from bridge.engine.clock import SystemClock
from bridge.errors import Transient
from bridge.uploader import VendorSettings, VendorState, VendorTransport
from tests.support.clock import FakeClock
from tests.uploader.facts import request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and groups of POSIX")


class Locks:
    """One lock a device, and who held it when."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.busy = False
        self._locks: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def __call__(self, device: DeviceRef) -> AsyncIterator[None]:
        if self.busy:
            raise Transient("The device is being read.", state="usb_busy")
        async with self._locks.setdefault(device.serial, asyncio.Lock()):
            self.held.append(f"+{device.serial}")
            try:
                yield
            finally:
                self.held.append(f"-{device.serial}")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def transport(clock: Clock | None = None, locks: Locks | None = None, **settings: Any) -> VendorTransport:
    setup = Setup("p1", {"command": python("pass"), **settings}, clock or SystemClock(), Random(1))
    return VendorTransport(setup, locks or Locks())


async def run(clock: Clock | None = None, **settings: Any) -> TransportResult:
    return await transport(clock, **settings).upload(request(), Snapshot([]))


async def test_a_program_that_ends_well_ran_and_no_more() -> None:
    vendor = transport()
    result = await vendor.upload(request(), Snapshot([]))
    assert result.state is Sent.RAN
    assert "read back" in result.detail
    assert vendor.state is VendorState.EXITED
    assert vendor.capabilities.targets_medtronic


@pytest.mark.parametrize(("code", "codes", "state"), [
    (0, [0], Sent.RAN), (3, [0], Sent.FAILED), (3, [0, 3], Sent.RAN), (0, [5], Sent.FAILED),
])  # fmt: skip
async def test_exit_codes_mean_what_the_settings_say(code: int, codes: list[int], state: Sent) -> None:
    result = await run(command=python(f"raise SystemExit({code})"), success_exit_codes=codes)
    assert result.state is state
    assert f"code {code}" in result.detail


async def test_arguments_reach_the_program_as_they_are_and_no_shell_reads_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    odd = ["$HOME", "`id`", "a b", "; touch x", "*", '"']
    code = f"import sys, json, os; json.dump([sys.argv[1:], os.getcwd()], open({str(out)!r}, 'w'))"
    result = await run(command=[*python(code), *odd], cwd=str(tmp_path))
    assert result.state is Sent.RAN
    assert json.loads(out.read_text()) == [odd, str(tmp_path)]
    assert list(tmp_path.iterdir()) == [out]


async def test_the_environment_is_ours_with_the_settings_but_without_our_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLUCOBRIDGE__SERVICE__TOKEN", "secret-of-ours")
    monkeypatch.setenv("GLUCOBRIDGE_VAULT_KEY_FILE", "/secret")
    out = tmp_path / "out"
    code = f"import os, json; json.dump(dict(os.environ), open({str(out)!r}, 'w'))"
    await run(command=python(code), env={"VENDOR_MODE": "patient"})
    seen = json.loads(out.read_text())
    assert seen["VENDOR_MODE"] == "patient"
    assert seen["PATH"] == os.environ["PATH"]
    assert not [name for name in seen if name.startswith("GLUCOBRIDGE")]


async def test_a_program_that_does_not_end_is_ended_and_killed_ten_seconds_later(tmp_path: Path) -> None:
    """It ignores being asked. The clock that counts is the injected one."""
    ready = tmp_path / "ready"
    clock = HeldClock(ready)
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    vendor = transport(clock, command=python(code), timeout_s=900)
    began = time.monotonic()
    result = await vendor.upload(request(), Snapshot([]))
    assert time.monotonic() - began < 20
    assert clock.slept == [900, 10]
    assert result.state is Sent.RAN
    assert "ended after" in result.detail
    assert vendor.state is VendorState.TIMEOUT


async def until(ready: Path) -> None:
    """Wait for a file that a program writes."""
    for _ in range(2000):
        if ready.exists():
            return
        await asyncio.sleep(0.01)


class HeldClock(FakeClock):
    """Lets a program come as far as touching a file before the first time limit passes."""

    def __init__(self, ready: Path) -> None:
        super().__init__()
        self._ready = ready

    async def sleep(self, seconds: float) -> None:
        await until(self._ready)
        await super().sleep(seconds)


async def test_children_and_grandchildren_are_killed_with_it(tmp_path: Path) -> None:
    """The whole group ends, also what ignores being asked to."""
    pids = tmp_path / "pids"
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    code = (
        "import subprocess, sys, os, pathlib, time\n"
        f"children = [subprocess.Popen([sys.executable, '-c', {child!r}]) for _ in range(2)]\n"
        "time.sleep(0.2)\n"
        f"path = pathlib.Path({str(pids)!r}); part = path.with_suffix('.part')\n"
        "part.write_text(' '.join(str(each.pid) for each in children) + f' {os.getpid()}'); part.rename(path)\n"
        "time.sleep(60)\n"
    )
    await run(HeldClock(pids), command=python(code))
    for pid in map(int, pids.read_text().split()):
        assert await _gone(pid), pid


async def _gone(pid: int) -> bool:
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_cancelling_ends_the_program_and_lets_the_device_go(tmp_path: Path) -> None:
    ready, locks = tmp_path / "ready", Locks()
    after = tmp_path / "after"
    code = (
        f"import os, pathlib, time; path = pathlib.Path({str(ready)!r}); part = path.with_suffix('.part'); "
        "part.write_text(str(os.getpid())); part.rename(path); time.sleep(60)"
    )
    post = python(f"import pathlib; pathlib.Path({str(after)!r}).touch()")
    vendor = transport(locks=locks, command=python(code), post=[post])
    work = asyncio.ensure_future(vendor.upload(request(), Snapshot([])))
    await until(ready)
    await vendor.cancel()
    result = await work
    assert result.state is Sent.FAILED
    assert await _gone(int(ready.read_text()))
    assert after.exists()
    assert locks.held == ["+NG0000005H", "-NG0000005H"]
    await vendor.cancel()


# --- around it -------------------------------------------------------------------------------------


async def test_commands_before_and_after_run_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def note(word: str, code: int = 0) -> list[str]:
        return python(f"open({str(out)!r}, 'a').write('{word} '); raise SystemExit({code})")

    await run(pre=[note("one"), note("two")], command=note("upload", 4), post=[note("three"), note("four")])
    assert out.read_text() == "one two upload three four "
    out.unlink()
    result = await run(pre=[note("one", 7), note("two")], command=note("upload"), post=[note("three")])
    assert out.read_text() == "one three "
    assert result.state is Sent.FAILED
    assert "code 7" in result.detail


async def test_one_device_is_held_while_everything_runs_and_two_do_not_share_it() -> None:
    locks = Locks()
    vendors = [transport(locks=locks, command=python("import time; time.sleep(0.05)")) for _ in range(2)]
    other = request(device=DeviceRef("pump", "", "NG0000006H"))
    await asyncio.gather(
        *(vendor.upload(request(), Snapshot([])) for vendor in vendors),
        transport(locks=locks).upload(other, Snapshot([])),
    )
    ours = [word for word in locks.held if word.endswith("5H")]
    assert ours == ["+NG0000005H", "-NG0000005H"] * 2


async def test_a_device_that_is_not_let_go_is_a_failure_and_nothing_runs(tmp_path: Path) -> None:
    locks, out = Locks(), tmp_path / "out"
    locks.busy = True
    vendor = transport(locks=locks, command=python(f"open({str(out)!r}, 'w')"))
    assert (await vendor.upload(request(), Snapshot([]))).state is Sent.FAILED
    assert not out.exists()


async def test_a_program_that_is_not_there_is_a_failure_with_a_sentence(tmp_path: Path) -> None:
    result = await run(command=[str(tmp_path / "no-such-uploader")])
    assert result.state is Sent.FAILED
    assert result.detail.startswith("no-such-uploader could not be started")
    assert str(tmp_path) not in result.detail


# --- logs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "code", "state"), [
    ("Upload finished", 0, Sent.RAN), ("Upload finished", 9, Sent.RAN), ("ERROR device lost", 0, Sent.FAILED),
    ("Upload finished\nERROR after all", 0, Sent.FAILED), ("nothing known", 0, Sent.RAN),
    ("nothing known", 9, Sent.FAILED),
])  # fmt: skip
async def test_logs_are_read_by_patterns_from_the_settings(tmp_path: Path, said: str, code: int, state: Sent) -> None:
    log = tmp_path / "uploader.log"
    log.write_text("Upload finished\nERROR of yesterday\n")
    program = f"open({str(log)!r}, 'a').write({said!r}); raise SystemExit({code})"
    result = await run(
        command=python(program), log_globs=[str(tmp_path / "*.log")], log_success_regex=["^Upload finished$"],
        log_failure_regex=["ERROR"],
    )  # fmt: skip
    assert result.state is state
    assert said not in result.detail


async def test_a_log_that_is_new_or_begun_again_is_read_from_its_start(tmp_path: Path) -> None:
    old = tmp_path / "a.log"
    old.write_text("x" * 5000)
    for name in ("a.log", "b.log"):
        program = f"open({str(tmp_path / name)!r}, 'w').write('FAILED')"
        result = await run(command=python(program), log_globs=[str(tmp_path / "*.log")], log_failure_regex=["FAILED"])
        assert result.state is Sent.FAILED


async def test_nothing_about_the_program_is_assumed() -> None:
    plain = VendorSettings(command=("x",))
    assert (plain.log_globs, plain.log_success_regex, plain.log_failure_regex) == ((), (), ())
    assert (plain.timeout_s, plain.success_exit_codes, plain.pre, plain.post) == (900, (0,), (), ())


@pytest.mark.parametrize("settings", [
    {}, {"command": []}, {"command": "uploader --now"}, {"command": [""]},
    {"command": ["x"], "log_failure_regex": ["("]}, {"command": ["x"], "log_globs": ["*.log"]},
    {"command": ["x"], "shell": True}, {"command": ["x"], "timeout_s": 0},
])  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VendorSettings.model_validate(settings)


# --- before it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", list(Trigger))
async def test_a_program_that_needs_a_person_is_not_started_by_schedule(trigger: Trigger) -> None:
    vendor = transport(needs_user=True)
    hindered = bool(await vendor.preflight(request(trigger=trigger)))
    assert hindered is (trigger in {Trigger.SCHEDULE, Trigger.RETRY})
    assert (vendor.state is VendorState.NEEDS_USER) is hindered
    assert await transport().preflight(request(trigger=trigger)) == ""


async def test_what_is_missing_is_said_before_it_starts(tmp_path: Path) -> None:
    assert "is not there" in await transport(command=["/no/such/uploader"]).preflight(request())
    assert "start-vm" in await transport(pre=[["start-vm"]]).preflight(request())
    assert "cwd" in await transport(cwd=str(tmp_path / "no")).preflight(request())


async def test_where_the_country_does_not_allow_the_program_it_is_not_started() -> None:
    async def nowhere() -> bool:
        return False

    setup = Setup("p1", {"command": python("pass")}, SystemClock(), Random(1))
    vendor = VendorTransport(setup, Locks(), nowhere)
    assert "takes no uploads" in await vendor.preflight(request())
