"""Named states a person can act on. Each has an entry in docs/troubleshooting.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a reader, destination or engine is in."""

    OK = "ok"
    STARTING = "starting"
    NO_DATA = "no_data"
    STALE = "stale"
    NO_DEVICE = "no_device"
    CLOCK_MISMATCH = "clock_mismatch"
    UNIT_SUSPECT = "unit_suspect"
    LOGIN_REQUIRED = "login_required"
    ACCOUNT_SHARED = "account_shared"
    CHOOSE_PATIENT = "choose_patient"
    PERMISSION_DENIED = "permission_denied"
    APP_VERSION_TOO_OLD = "app_version_too_old"
    DISCOVERY_UNSUPPORTED = "discovery_unsupported"
    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"
    REFUSED = "refused"
    INCOMPATIBLE = "incompatible"
    OUT_OF_RANGE = "out_of_range"
    UNPLUGGED = "unplugged"
    USB_PERMISSION = "usb_permission"
    USB_BUSY = "usb_busy"
    USB_STALLED = "usb_stalled"
    USB_UNAVAILABLE = "usb_unavailable"
    BLE_UNAVAILABLE = "ble_unavailable"
    DEVICE_UNBOUND = "device_unbound"
    WRONG_DEVICE = "wrong_device"
    PUMP_ALARM = "pump_alarm"
    PUMP_BUSY = "pump_busy"
    METER_ERROR = "meter_error"
    METER_RESTING = "meter_resting"
    LOW_BATTERY = "low_battery"
    CLOCK_NOT_SET = "clock_not_set"
    INCOMPLETE = "incomplete"
    NOT_LINKED = "not_linked"
    SITE_FULL = "site_full"
    CAREPORTAL_OFF = "careportal_off"
    SETTINGS_INVALID = "settings_invalid"
    VAULT_LOCKED = "vault_locked"
    VAULT_NOT_MOVED = "vault_not_moved"
    JOURNAL_UNUSABLE = "journal_unusable"
    PROGRAM_TOO_OLD = "program_too_old"
    ALREADY_RUNNING = "already_running"
    BUG = "bug"

    @classmethod
    def named(cls, name: str) -> State:
        """The state of that name; an unknown name is `unreachable`."""
        return cls(name) if name in cls.__members__.values() else cls.UNREACHABLE


@dataclass(frozen=True, slots=True)
class Health:
    """A state and one plain sentence, with the next step where a person must act."""

    state: State = State.OK
    text: str = ""
