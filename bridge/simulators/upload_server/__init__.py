"""An upload server that speaks contract clu-1, with everything that can go wrong on the way."""

from bridge.simulators.upload_server.faults import Fault, FaultKind, Faults, Step
from bridge.simulators.upload_server.server import UploadServer
from bridge.simulators.upload_server.store import Store, Upload

__all__ = ["Fault", "FaultKind", "Faults", "Step", "Store", "Upload", "UploadServer"]
