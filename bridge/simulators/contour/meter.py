"""A virtual meter: what it answers to what it is told, byte by byte, and what can go wrong with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.simulators.contour.commands import Commands
from bridge.simulators.contour.kinds import Kind
from bridge.simulators.contour.results import Stored, lines
from bridge.simulators.usb import Unplugged
from bridge.wire.abc import PAYLOAD, reports
from bridge.wire.astm import ACK, ENQ, EOT, NAK, Frame, build

_PATIENCE_S = 2.0


@dataclass
class Faults:
    """What goes wrong; all off at first. Frames are counted from 1, the header's."""

    corrupt_frame: int | None = None
    corrupt_times: int = 1
    repeat_frame: int | None = None
    """This frame is sent once more after its ACK."""
    lose_ack: int | None = None
    """The first ACK of this frame is not heard."""
    stale_session: bytes | None = None
    """What the next wake-up is answered with instead of a greeting: ENQ, or EOT ENQ."""
    wake_naks: int = 0
    """So many wake-ups are refused."""
    needs_rest: bool = False
    """It ends each transfer at once until it has rested."""
    fill_reports: int | None = None
    """Pads the header so that nothing shorter than a report ends it: 0 the frame, 1 with EOT before it (ENQ comes
    in a report of its own), 2 with ENQ too."""
    no_terminator: bool = False
    unplug_after: int | None = None
    """Gone after so many transfers, either way."""
    e86_after: int | None = None
    """Shows E86 and says nothing after so many frames."""
    slow_answer_s: float = 0.0
    """Each first report takes so long; a host that waits less gets nothing yet."""
    clock_missing: bool = False
    """The header has no clock."""
    mute: bool = False


@dataclass
class VirtualMeter:
    """A meter on the bus. `now` gives true UTC; its clock is the zone's wall clock plus `clock_error_s`."""

    kind: Kind
    serial: str
    now: Callable[[], datetime]
    results: list[Stored] = field(default_factory=list)
    zone: str = "Europe/Berlin"
    clock_error_s: float = 0
    challenge: str = "AbCdEf"
    ends_itself: bool | None = None
    """None: as the kind does."""
    faults: Faults = field(default_factory=Faults)
    transfers: int = 0
    heard: list[bytes] = field(default_factory=list)
    """Every message of the host."""
    writes: list[str] = field(default_factory=list)
    """Settings that a host changed."""
    sessions: int = 0
    """Transfers that were acknowledged to the end."""

    def __post_init__(self) -> None:
        self.descriptor = self.kind.descriptor(self.serial)
        self._out: deque[bytes] = deque()
        self._commands = Commands(self.kind, self.clock, self.writes)
        self._start_over()

    def _start_over(self) -> None:
        self._out.clear()
        self._mode, self._at, self._dead = "asleep", 0, False
        self._frames: list[bytes] = []
        self._late_s = 0.0
        self._sent_at: datetime | None = None
        self._lingers = False

    # --- the bus ---------------------------------------------------------------------------------------

    def write(self, endpoint: int, data: bytes) -> None:
        """Take a report of the host."""
        self._transferred()
        length = data[3] if len(data) > 3 else 0
        message = bytes(data[4 : 4 + length])
        self.heard.append(message)
        if not (self._dead or self.faults.mute):
            self._take(message)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        """The next report."""
        self._transferred()
        if not self._out:
            return None
        if self._late_s > 0:
            self._late_s -= timeout_s
            if self._late_s > 0:
                return None
        return self._out.popleft()[:size]

    def released(self) -> None:
        """The host is gone; some meters hold on to a session that was cut short."""
        self._lingers = self.kind.lingers and self._mode in ("sending", "greeted")
        self._mode = "asleep"
        self._out.clear()

    def replugged(self) -> None:
        """Fresh from the socket: sessions, errors and the fault that unplugged it are gone."""
        self.faults.unplug_after = self.faults.e86_after = None
        self._start_over()

    def _transferred(self) -> None:
        gone_after = self.faults.unplug_after
        if gone_after is not None and self.transfers >= gone_after:
            raise Unplugged
        self.transfers += 1

    def _say(self, message: bytes) -> None:
        self._late_s = self.faults.slow_answer_s
        self._sent_at = self.now()
        self._out.extend(reports(message))

    # --- what it does ----------------------------------------------------------------------------------

    def _take(self, message: bytes) -> None:
        if self._mode in ("pre-command", "command") and self._commanded(message):
            return
        if self._mode == "sending":
            self._sending(message)
        elif self._mode == "greeted" and message == ACK:
            self._begin()
        elif self._mode == "greeted" and message == NAK:
            self._mode = "pre-command"
            self._say(EOT)
        elif self._mode == "done" and message == NAK:
            self._mode = "asleep"
            self._say(EOT)
        elif len(message) == 1:
            self._wake()

    def _wake(self) -> None:
        if self.faults.wake_naks:
            self.faults.wake_naks -= 1
            self._say(NAK)
            return
        stale = self.faults.stale_session or (ENQ if self._lingers else None)
        self.faults.stale_session, self._lingers = None, False
        self._mode = "greeted"
        self._frames = self._transfer()
        self._say(stale or EOT + self._frames[0] + ENQ)

    def _begin(self) -> None:
        if self.faults.needs_rest:
            self._mode = "asleep"
            self._say(EOT)
            return
        self._mode, self._at = "sending", 0
        self._send()

    def _sending(self, message: bytes) -> None:
        if message == NAK:
            self._send()
        elif message == ACK:
            self._acknowledged()
        elif message == EOT:
            self._mode = "asleep"

    def _acknowledged(self) -> None:
        number = self._at + 1
        if self._too_late():
            self._dead = True
            return
        if self.faults.lose_ack == number:
            self.faults.lose_ack = None
            return
        if self.faults.repeat_frame == number:
            self.faults.repeat_frame = None
            self._send()
            return
        if self._at + 1 < len(self._frames):
            self._at += 1
            self._send()
            return
        self._finish()

    def _finish(self) -> None:
        cut = self.faults.no_terminator
        self.sessions += not cut
        itself = self.kind.ends_itself if self.ends_itself is None else self.ends_itself
        if itself or cut:
            self._mode = "asleep"
            self._say(EOT)
        else:
            self._mode = "done"

    def _too_late(self) -> bool:
        sent = self._sent_at
        return self.kind.impatient and sent is not None and self.now() - sent > timedelta(seconds=_PATIENCE_S)

    def _send(self) -> None:
        number = self._at + 1
        if self.faults.e86_after is not None and number > self.faults.e86_after:
            self._dead = True
            return
        frame = self._frames[self._at]
        if self.faults.corrupt_frame == number and self.faults.corrupt_times:
            self.faults.corrupt_times -= 1
            frame = frame[:3] + bytes([frame[3] ^ 0x5D]) + frame[4:]
        self._say(frame)

    def _commanded(self, message: bytes) -> bool:
        """Command mode's answer, if the message is for it."""
        if self._mode == "pre-command":
            if message != ENQ:
                return False
            self._mode = "command"
            self._say(ACK)
            return True
        if message == EOT:
            self._mode = "greeted"
            self._say(ENQ)
        else:
            self._say(self._commands.answer(message))
        return True

    # --- what it has to say ------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """What its clock shows."""
        wall = self.now().astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        return wall + timedelta(seconds=self.clock_error_s)

    def header(self) -> str:
        """The header line."""
        kind = self.kind
        about = f"{kind.code}^{kind.versions}^{kind.serial.format(self.serial)}" + (
            f"^{kind.sku}" if kind.sku else ""
        )
        stamp = "" if self.faults.clock_missing else f"{self.clock():%Y%m%d%H%M%S}"[: kind.clock_digits]
        settings = kind.settings + self._filling(about, stamp)
        return self._header(about, settings, stamp)

    def _header(self, about: str, settings: str, stamp: str) -> str:
        text = rf"H|\^&||{self.challenge}|{about}|{settings}|{len(self.results)}|||||{self.kind.processing}|1|{stamp}"
        return text + ("|" if self.kind.trailing_bar else "")

    def _filling(self, about: str, stamp: str) -> str:
        """A setting so long that the header fills its reports."""
        if self.faults.fill_reports is None:
            return ""
        plain = len(build(Frame(1, self._header(about, self.kind.settings + "^z=", stamp))))
        return "^z=" + "0" * (-(plain + self.faults.fill_reports) % PAYLOAD)

    def _transfer(self) -> list[bytes]:
        """The frames of a whole transfer."""
        texts = [self.header(), "P|1", *lines(self.results, self.kind.stamp_digits)]
        if not self.faults.no_terminator:
            texts.append("L|1||N")
        last = len(texts)
        return [
            build(Frame(number, text, last=number == last and not self.faults.no_terminator))
            for number, text in enumerate(texts, start=1)
        ]
