"""Who is in the cloud: people with a device and a phone, and the accounts that may look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bridge.simulators.patient import Therapy, VirtualPatient

Span = tuple[datetime, datetime]
"""Start and end, UTC."""


class Family(StrEnum):
    """What a person uploads with, and so in which shape the cloud answers."""

    NGP = "ngp"
    """780G: nested, wrapped, as version 13 answers."""
    NGP_FLAT = "ngp_flat"
    """780G: flat, as version 6 answers."""
    SIMPLERA = "simplera"
    """Sensor alone: nested, with placeholders for the missing pump, pen doses."""
    GUARDIAN = "guardian"
    """Guardian Connect: flat, on the web endpoints only."""
    PARADIGM = "paradigm"
    """Old Connect: flat with English dates, on the web endpoints only."""
    NONE = "none"
    """An account whose phone uploads nothing."""


_PUMP = frozenset({"sensor_glucose", "carbs", "bolus", "basal", "meter_glucose", "calibration", "alarm"})
CARRIES: dict[Family, frozenset[str]] = {
    Family.NGP: _PUMP,
    Family.NGP_FLAT: _PUMP,
    Family.SIMPLERA: frozenset({"sensor_glucose", "carbs", "injection", "meter_glucose", "calibration"}),
    Family.GUARDIAN: frozenset({"sensor_glucose", "calibration"}),
    Family.PARADIGM: frozenset({"sensor_glucose"}),
    Family.NONE: frozenset(),
}
"""The kinds of facts an answer carries with time and value."""

THERAPY: dict[Family, Therapy] = {
    Family.NGP: Therapy.SMARTGUARD, Family.NGP_FLAT: Therapy.SMARTGUARD, Family.SIMPLERA: Therapy.PENS,
    Family.GUARDIAN: Therapy.CGM, Family.PARADIGM: Therapy.CGM, Family.NONE: Therapy.CGM,
}  # fmt: skip
"""The therapy a virtual patient of a family needs."""

DEVICE_FAMILY = {
    Family.NGP: "BLE_X", Family.NGP_FLAT: "BLE_X", Family.SIMPLERA: "SIMPLERA", Family.GUARDIAN: "GUARDIAN",
    Family.PARADIGM: "PARADIGM", Family.NONE: "NONE",
}  # fmt: skip
"""How the account API names a person's device."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whose phone uploads. `offline`: when the phone has no network; what was missed follows after."""

    username: str
    patient: VirtualPatient
    family: Family = Family.NGP
    first_name: str = "Test"
    last_name: str = "Patient"
    zone_name: str = "Central European Standard Time"
    display_mmol: bool = False
    offline: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A carer's link to a person. Only `ACTIVE` ones may be read."""

    username: str
    status: str = "ACTIVE"


@dataclass(frozen=True, slots=True)
class Account:
    """Who signs in. A patient's account has no links and reads itself."""

    username: str
    password: str = field(repr=False)
    role: str = "CARE_PARTNER_OUS"
    links: Sequence[Link] = ()
    country: str = "GB"
    needs_reconsent: bool = False

    @property
    def carer(self) -> bool:
        """True for a care partner."""
        return "CARE_PARTNER" in self.role

    def may_read(self, username: str) -> bool:
        """Whether the account may read that person."""
        if not self.carer:
            return username == self.username
        return any(link.username == username and link.status == "ACTIVE" for link in self.links)


def own_account(person: Person, password: str) -> Account:
    """The account of a person who looks at the own data."""
    return Account(person.username, password, "PATIENT_OUS")


def carer_of(people: Sequence[Person], username: str, password: str) -> Account:
    """An account that follows all of them."""
    return Account(username, password, links=tuple(Link(person.username) for person in people))
