"""The CareLink cloud, read side: sign-in, accounts and data, on one loop-back address."""

from bridge.simulators.carelink_cloud.faults import Call, Fault, FaultKind, Faults
from bridge.simulators.carelink_cloud.people import (
    CARRIES,
    THERAPY,
    Account,
    Family,
    Link,
    Person,
    carer_of,
    own_account,
)
from bridge.simulators.carelink_cloud.served import Served
from bridge.simulators.carelink_cloud.simulator import CARER, PASSWORD, CareLinkSim
from bridge.simulators.carelink_cloud.tokens import challenge_of

__all__ = [
    "CARER", "CARRIES", "PASSWORD", "THERAPY", "Account", "Call", "CareLinkSim", "Family", "Fault", "FaultKind",
    "Faults", "Link", "Person", "Served", "carer_of", "challenge_of", "own_account",
]  # fmt: skip
