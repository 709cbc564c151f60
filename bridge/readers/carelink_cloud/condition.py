"""What a person should know about an answer: one state, one sentence, and the next step."""

from __future__ import annotations

from datetime import timedelta

from bridge.model.health import Health, State
from bridge.readers.carelink_cloud.clocks import DRIFT_LIMIT_MIN, Clocks

STALE_AFTER = timedelta(minutes=20)

NO_DATA = Health(
    State.NO_DATA,
    "CareLink answered without data. Check that a pump or sensor app uploads to this account.",
)
NO_UPLOADS = Health(
    State.NO_DATA,
    "CareLink knows the device, but nothing was ever uploaded for it this way. "
    "Check that the phone app uploads to this account.",
)


def condition(clocks: Clocks, *, waiting: bool, unit_suspect: bool) -> Health:
    """The worst of what an answer shows. `waiting`: rows were held because no clock could be trusted."""
    if unit_suspect:
        return Health(
            State.UNIT_SUSPECT,
            "A glucose value does not look like mg/dL and was not stored. Report it with `glucobridge report`.",
        )
    if clocks.live and clocks.apart_min:
        return Health(State.CLOCK_MISMATCH, _apart(clocks.apart_min))
    if clocks.live and clocks.pump and abs(clocks.pump.drift_min) > DRIFT_LIMIT_MIN:
        return Health(State.CLOCK_MISMATCH, _drifting(clocks.pump.drift_min))
    if waiting:
        return Health(
            State.CLOCK_MISMATCH if clocks.phone else State.STALE,
            "New rows wait until the pump is connected again: without it, its clock is not known. "
            "Bring the phone near the pump.",
        )
    if clocks.age is not None and clocks.age > STALE_AFTER:
        return Health(State.STALE, _stale(clocks.age))
    return Health()


def _apart(minutes: int) -> str:
    side = "ahead of" if minutes > 0 else "behind"
    return (
        f"The pump's clock is {abs(minutes)} min {side} the phone's. Readings follow the pump's; "
        "set the clock that is wrong (travel, summer time)."
    )


def _drifting(drift_min: float) -> str:
    side = "fast" if drift_min > 0 else "slow"
    return f"The pump's clock is {abs(drift_min):.0f} min {side}. Set it in the pump's menu."


def _stale(age: timedelta) -> str:
    return (
        f"The last upload is {age // timedelta(minutes=1)} min old. Check that the phone is near the pump, "
        "online, and that its app runs."
    )
