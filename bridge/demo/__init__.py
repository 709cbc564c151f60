"""The whole path without an account: the shipped simulators and the same engine, in one process."""

from bridge.demo.clock import FastClock
from bridge.demo.device import Device, begin_with, known_devices
from bridge.demo.world import World, link_all, started

__all__ = ["Device", "FastClock", "World", "begin_with", "known_devices", "link_all", "started"]
