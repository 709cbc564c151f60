"""The whole error tree at one glance: what the engine handles, and what is a bug.

Every handled error is one plain sentence for a person, with the next step, and a named `state`.
Retry is decided by class, never by text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BridgeError(Exception):
    """Anything this program raises on purpose. `state` is the name shown to a person."""

    state = "error"

    def __init__(self, message: str, *, next_step: str = "", state: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        if state is not None:
            self.state = state

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


# --- handled by the engine -------------------------------------------------------------------------


class Transient(BridgeError):
    """An outage: time-out, reset, 5xx. Back off and try the same again."""

    state = "unreachable"


class Throttled(Transient):
    """The other side asks for patience. `retry_after_s` seconds from now, None when it did not say."""

    state = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: float | None = None, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after_s = retry_after_s


class Unauthorised(BridgeError):
    """The credential is dead or was refused. Only a person can mend it; nothing is retried in a loop."""

    state = "login_required"


class Moved(BridgeError):
    """The provider no longer knows our client or its own address: discover again, then retry once."""

    state = "discovery_unsupported"


class Forbidden(BridgeError):
    """The credential is good but may not do this."""

    state = "permission_denied"


class Refused(BridgeError):
    """The request itself was refused (4xx): sending it again unchanged is useless."""

    state = "refused"


class Incompatible(BridgeError):
    """The other side speaks a version or a shape that this program does not know."""

    state = "incompatible"


class DeviceUnreachable(BridgeError):
    """A device did not answer: out of range, unplugged, asleep."""

    state = "out_of_range"


class Malformed(BridgeError):
    """Input that is not what the reader reads. The raw bytes are kept."""

    state = "malformed"


class InvalidRecord(Malformed):
    """One value outside what the model accepts; names the field and the value."""

    def __init__(self, kind: str, field: str, value: object, why: str) -> None:
        super().__init__(f"{kind}.{field}: {value!r} refused, {why}.")
        self.kind, self.field, self.value, self.why = kind, field, value, why

    @classmethod
    def of(cls, kind: str, why: ValidationError) -> InvalidRecord:
        """What the model said first."""
        first = why.errors(include_url=False, include_context=False)[0]
        return cls(kind, ".".join(map(str, first["loc"])), first["input"], str(first["msg"]).lower())


class SettingsInvalid(BridgeError):
    """The settings file, environment or command line does not fit."""

    state = "settings_invalid"


class VaultLocked(BridgeError):
    """The vault's key is missing or does not fit."""

    state = "vault_locked"


class JournalUnusable(BridgeError):
    """The journal cannot be opened or failed its integrity check."""

    state = "journal_unusable"


class AlreadyRunning(BridgeError):
    """Another engine holds this data folder."""

    state = "already_running"


# --- bugs ------------------------------------------------------------------------------------------


class ContractViolation(BridgeError):
    """A room broke a promise of `bridge.contracts`. Never retried, always reported."""

    state = "bug"


class NotAllowed(ContractViolation):
    """Bytes or a request were about to leave that no allow-list names (opcode, host)."""
