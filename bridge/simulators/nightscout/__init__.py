"""A Nightscout site in memory: `NightscoutSim(api_secret).app()`, to be run by `bridge.simulators.serving.serve`."""

from bridge.simulators.nightscout.alarms import urgent_low_fires
from bridge.simulators.nightscout.faults import Fault
from bridge.simulators.nightscout.sim import NightscoutSim, SimSettings
from bridge.simulators.nightscout.v3_documents import identifier_of

__all__ = ["Fault", "NightscoutSim", "SimSettings", "identifier_of", "urgent_low_fires"]
