"""The whole path without an account: the shipped simulators and the same engine, in one process."""

from bridge.demo.clock import FastClock
from bridge.demo.device import plug_in
from bridge.demo.world import World, link_all, started

__all__ = ["FastClock", "World", "link_all", "plug_in", "started"]
