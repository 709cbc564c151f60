"""Every known type of history event by its id."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.readers.medtronic_600.event_fields import EventType
from bridge.readers.medtronic_600.event_glucose import GLUCOSE_TYPES
from bridge.readers.medtronic_600.event_insulin import INSULIN_TYPES
from bridge.readers.medtronic_600.event_settings import SETTINGS_TYPES
from bridge.readers.medtronic_600.event_system import SYSTEM_TYPES

EVENT_TYPES: Mapping[int, EventType] = {**SYSTEM_TYPES, **INSULIN_TYPES, **GLUCOSE_TYPES, **SETTINGS_TYPES}
"""What is not in here is kept raw; a name without fields has no known layout."""
