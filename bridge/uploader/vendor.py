"""Transport `vendor`: runs the uploader program that the vendor made and a person installed.

Nothing about that program is known to this code: command, exit codes, logs and what their lines mean come from the
settings. That it ran never means that anything was uploaded; read-back finds that out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from bridge.contracts import Capabilities, DeviceRef, Sent, Setup, Snapshot, TransportResult, Trigger, UploadRequest
from bridge.errors import DeviceUnreachable, Transient
from bridge.uploader.program import Ended, NotStarted, run
from bridge.uploader.vendor_logs import Logs
from bridge.uploader.vendor_settings import VendorSettings

DeviceLocks = Callable[[DeviceRef], AbstractAsyncContextManager[object]]
"""The lock of one physical device: while the program runs, no reader of ours touches it. May raise Transient or
DeviceUnreachable when the device cannot be let go."""
_OURS = "GLUCOBRIDGE"
"""Variables that begin so hold our own settings and secrets; no other program gets them."""
_UNATTENDED = frozenset({Trigger.SCHEDULE, Trigger.RETRY})


class VendorState(StrEnum):
    """How a run of the program stands. None of them says that anything was uploaded."""

    STARTED = "started"
    EXITED = "exited"
    TIMEOUT = "timeout"
    NEEDS_USER = "needs_user"


Allowed = Callable[[], Awaitable[bool]]
"""Whether CareLink lets people of this country use the program."""


async def _everywhere() -> bool:
    return True


class VendorTransport:
    """Drives the installed program. `locks` gives the device to it alone; `state` is how the last run stands."""

    name = "vendor"
    Settings: ClassVar[type[BaseModel]] = VendorSettings
    linking: ClassVar[None] = None

    def __init__(self, setup: Setup, locks: DeviceLocks, allowed: Allowed = _everywhere) -> None:
        self._settings = VendorSettings.model_validate(setup.settings)
        self._clock, self._locks, self._allowed = setup.clock, locks, allowed
        self._work: asyncio.Task[TransportResult] | None = None
        self.state: VendorState | None = None
        self.capabilities = Capabilities(
            can_push=True,
            can_trigger=True,
            needs_user=self._settings.needs_user,
            min_interval_s=self._settings.min_interval_s,
            targets_medtronic=True,
        )

    async def preflight(self, request: UploadRequest) -> str:
        """What hinders, as one sentence; empty when nothing does."""
        if self._settings.needs_user and request.trigger in _UNATTENDED:
            self.state = VendorState.NEEDS_USER
            return "The uploader program needs a person in front of it. Start the upload by hand when you are there."
        for argv in (*self._settings.pre, self._settings.command, *self._settings.post):
            if shutil.which(argv[0], path=self._environment().get("PATH")) is None:
                name = Path(argv[0]).name
                return f"The program {name} is not there or cannot be run. Correct its path in the settings."
        cwd = self._settings.cwd
        if cwd is not None and not await asyncio.to_thread(cwd.is_dir):
            return "The folder `cwd` of the uploader program is not there. Correct it in the settings."
        if not await self._allowed():
            return 'CareLink takes no uploads from this program in this country. Say `transport = "observe"`.'
        return ""

    async def upload(self, request: UploadRequest, snapshot: Snapshot) -> TransportResult:
        """Run the program once, with the device to itself. The snapshot is not used: it reads the device itself."""
        work = self._work = asyncio.ensure_future(self._run_alone(request.device))
        try:
            return await work
        except asyncio.CancelledError:
            if self._work is work:
                raise
            return TransportResult(Sent.FAILED, detail="Stopped; the uploader program was ended.")
        finally:
            self._work = None if self._work is work else self._work

    async def cancel(self) -> None:
        """End the program and all that it started."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.wait({work})

    # --- one run ---

    async def _run_alone(self, device: DeviceRef) -> TransportResult:
        try:
            async with self._locks(device):
                return await self._run()
        except (Transient, DeviceUnreachable) as error:
            return TransportResult(Sent.FAILED, detail=str(error))

    async def _run(self) -> TransportResult:
        """`pre`, the program, and `post` whatever happened."""
        try:
            if failed := await self._around(self._settings.pre):
                return TransportResult(Sent.FAILED, detail=f"The command before the upload failed: {failed}")
            return await self._run_program()
        finally:
            await self._around(self._settings.post)

    async def _around(self, commands: Sequence[Sequence[str]]) -> str:
        """Run commands one after the other; why the first that failed did, empty when none did."""
        for argv in commands:
            ended = await self._start(argv)
            if isinstance(ended, NotStarted):
                return ended.why
            if ended.code != 0:
                return f"{Path(argv[0]).name} {_how(ended)}."
        return ""

    async def _run_program(self) -> TransportResult:
        logs = Logs(self._settings)
        await asyncio.to_thread(logs.begin)
        self.state = VendorState.STARTED
        ended = await self._start(self._settings.command)
        if isinstance(ended, NotStarted):
            self.state = None
            return TransportResult(Sent.FAILED, detail=ended.why)
        self.state = VendorState.TIMEOUT if ended.code is None else VendorState.EXITED
        return self._result(ended, await asyncio.to_thread(logs.says))

    async def _start(self, argv: Sequence[str]) -> Ended | NotStarted:
        return await run(argv, self._settings.cwd, self._environment(), self._settings.timeout_s, self._clock)

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_OURS)}
        return kept | self._settings.env

    def _result(self, ended: Ended, log: bool | None) -> TransportResult:
        """A log that says failure is believed, one that says success outweighs the exit code."""
        text = f"The uploader program {_how(ended)}"
        if log is False:
            return TransportResult(Sent.FAILED, detail=f"{text}; its log says that the upload failed.")
        if ended.code is not None and ended.code not in self._settings.success_exit_codes and log is None:
            return TransportResult(Sent.FAILED, detail=f"{text}, which stands for a failure.")
        said = ", and its log says that it uploaded" if log else ""
        return TransportResult(Sent.RAN, detail=f"{text}{said}. Whether CareLink has the data is read back next.")


def _how(ended: Ended) -> str:
    if ended.code is None:
        return f"was ended after {ended.after_s:g} s"
    return f"ended with code {ended.code}"
