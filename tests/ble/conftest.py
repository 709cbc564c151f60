"""A room full of virtual meters."""

from tests.readers.ble_glucose.conftest import room

__all__ = ["room"]
