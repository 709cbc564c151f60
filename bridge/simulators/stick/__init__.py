"""A virtual CareLink USB stick with MiniMed pumps behind it, and a virtual patient's days in their memory."""

from bridge.simulators.stick.memory import Life, remember
from bridge.simulators.stick.pump import Nak, PumpMemory, VirtualPump
from bridge.simulators.stick.stick import VirtualStick

__all__ = ["Life", "Nak", "PumpMemory", "VirtualPump", "VirtualStick", "remember"]
