"""Nightscout: records as entries, treatments, statuses and profiles of a site."""

from adapters.nightscout.adapter import NightscoutAdapter
from adapters.nightscout.linking import NightscoutLinking
from adapters.nightscout.settings import Settings, Streams

__all__ = ["NightscoutAdapter", "NightscoutLinking", "Settings", "Streams"]
