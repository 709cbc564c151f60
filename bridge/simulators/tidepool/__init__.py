"""The Tidepool simulator: real HTTP on a loop-back port, its own rules, no shared code with the adapter."""

from bridge.simulators.tidepool.accounts import Account, Client, TokenRules
from bridge.simulators.tidepool.data_sets import DataSet
from bridge.simulators.tidepool.faults import Knobs, Outage
from bridge.simulators.tidepool.simulator import TidepoolSim
from bridge.simulators.tidepool.world import Seen

__all__ = ["Account", "Client", "DataSet", "Knobs", "Outage", "Seen", "TidepoolSim", "TokenRules"]
